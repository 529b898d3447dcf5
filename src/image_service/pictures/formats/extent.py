"""Length of a file as its own headers have it."""

from __future__ import annotations

from typing import NamedTuple


class Extent(NamedTuple):
    """The extent of a picture: its headers, if there, and the bytes they say the file has.

    `least_bytes` counts what is announced up to where the file ends: more than the file has
    only where something of it is missing.
    """

    has_picture: bool
    least_bytes: int
