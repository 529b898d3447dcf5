"""Adapters: one package an outside system, each behind the ports it implements."""
