"""The OpenAPI document, beyond what FastAPI derives from the routes."""
