"""A self-hosted image service: pictures in, WebP and thumbnails out, metadata kept."""

__version__ = "0.1.0"
