"""Logs, metrics and traces: the signals of the running service, and their redaction."""
