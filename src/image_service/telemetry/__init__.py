"""Logs, metrics and traces of the running service, their redaction, and the audit log."""
