"""Renditions: the files that are made of each picture, one row of a table for each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, get_args

MAIN: Final = "main"
THUMBNAIL: Final = "thumbnail"

Fit = Literal["inside", "cover"]
"""The whole picture, its longer side at most `side`; or a square of it, at most `side` wide."""
Format = Literal["webp"]

# These two are older than the rule that an image's renditions share a folder.
_PLACES: Final = {MAIN: "{user}/{image}", THUMBNAIL: "{user}/thumbnails/{image}"}
_PLACE: Final = "{user}/{image}/{name}"
# Of ULIDs those whose time a datetime can hold.
_ULID: Final = r"(?P<id>[0-6][0-9A-HJKMNP-TV-Z]{25})"
_FORMATS: Final = "|".join(get_args(Format))
_KEY: Final = re.compile(
    rf"images/[^/]+/(?:thumbnails/)?{_ULID}(?:/[^/]+)?\.(?:{_FORMATS})", re.ASCII
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RenditionSpec:
    """A row of the table. `side` in pixels, `quality` 1 to 100, `effort` 0 to 6.

    WebP `effort` 2 takes about half the time of libwebp's usual 4, for files 2 to 4 % larger.
    """

    name: str
    fit: Fit
    side: int
    format: Format = "webp"
    quality: int
    effort: int

    @property
    def mime_type(self) -> str:
        return f"image/{self.format}"

    def key(self, user_id: str, image_id: str) -> str:
        """Returns where this rendition of an image lies in the bucket."""
        place = _PLACES.get(self.name, _PLACE)
        path = place.format(user=user_id, image=image_id, name=self.name)
        return f"images/{path}.{self.format}"


RENDITIONS: Final = (
    RenditionSpec(name=MAIN, fit="inside", side=2048, quality=85, effort=2),
    RenditionSpec(name=THUMBNAIL, fit="cover", side=400, quality=80, effort=4),
)
"""What is made of every picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendition:
    """One stored picture file. Width and height in pixels."""

    key: str
    width: int
    height: int
    size_bytes: int


def image_of(key: str) -> str | None:
    """Returns the id of the image that an object is a rendition of, by its key."""
    found = _KEY.fullmatch(key)
    return found["id"] if found else None
