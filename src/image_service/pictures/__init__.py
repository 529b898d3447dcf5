"""Image processing: headers in Python, pixels by libvips in child processes.

On the parent's side are `processor`, `worker_child`, `header`, `limits` and `formats`; `child`
and what else it imports run in the child, the only place where libvips is imported.
"""
