"""What wraps each request: its context, access log, deadlines and CORS."""
