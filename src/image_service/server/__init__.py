"""The HTTP server: uvicorn's set-up, the connection, and the port of the metrics."""
