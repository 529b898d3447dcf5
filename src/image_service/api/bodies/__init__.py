"""Request bodies: reading and bounding them, and the multipart form."""
