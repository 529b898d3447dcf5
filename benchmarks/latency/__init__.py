"""The running service on one core, before engines with the latencies of AWS."""
