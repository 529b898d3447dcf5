"""The rerender: brings the renditions of stored images to the current table."""
