"""Middleware by job: request context, access log, deadlines, CORS."""
