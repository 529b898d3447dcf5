"""The reconciler: compares files, items and counters, and repairs them."""
