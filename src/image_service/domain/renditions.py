"""Renditions: the files that are made of each picture, one row of a table for each."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, get_args

MAIN: Final = "main"
THUMBNAIL: Final = "thumbnail"

Fit = Literal["inside", "cover", "width"]
"""The whole picture, its longer side at most `side`; a square of it, at most `side` wide; or the
whole picture, `side` wide, where the main one is clearly wider."""
Format = Literal["webp"]

# These two are older than the rule that an image's renditions share a folder.
_PLACES: Final = {MAIN: "{user}/{image}", THUMBNAIL: "{user}/thumbnails/{image}"}
_PLACE: Final = "{user}/{image}/{name}"
# Of ULIDs those whose time a datetime can hold.
_ULID: Final = r"(?P<id>[0-6][0-9A-HJKMNP-TV-Z]{25})"
_BY_WIDTH: Final = re.compile(r"w[0-9]+", re.ASCII)
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

    def scale(self, width: int, height: int) -> float:
        """Returns what a picture of that size is scaled by, never above 1, before any crop."""
        bounded = {"inside": max(width, height), "cover": min(width, height), "width": width}
        return min(1.0, self.side / bounded[self.fit])

    def key(self, user_id: str, image_id: str) -> str:
        """Returns where this rendition of an image lies in the bucket."""
        place = _PLACES.get(self.name, _PLACE)
        path = place.format(user=user_id, image=image_id, name=self.name)
        return f"images/{path}.{self.format}"


_OF_EVERY_PICTURE: Final = (
    RenditionSpec(name=MAIN, fit="inside", side=2048, quality=85, effort=2),
    RenditionSpec(name=THUMBNAIL, fit="cover", side=400, quality=80, effort=4),
)
WIDTHS: Final = (320, 640, 1280)
LEAST_WIDTH: Final = 16
MOST_WIDTH: Final = _OF_EVERY_PICTURE[0].side - 1
MOST_WIDTHS: Final = 8
# Up to this width effort 4: twice the time of few pixels, for 4 % of the bytes and 0.003 of SSIM.
# At 1280 it would be a quarter of all that a picture takes.
_FINE_WIDTH: Final = 800


def table(widths: Iterable[int] = WIDTHS) -> tuple[RenditionSpec, ...]:
    """Returns what is made of pictures: two of every one, and these widths of those wider."""
    by_width = (
        RenditionSpec(
            name=f"w{width}",
            fit="width",
            side=width,
            quality=80,
            effort=4 if width <= _FINE_WIDTH else 2,
        )
        for width in sorted(widths)
    )
    return (*_OF_EVERY_PICTURE, *by_width)


RENDITIONS: Final = table()
"""What is made where no setting says otherwise."""


def wanted(specs: Iterable[RenditionSpec], width: int, height: int) -> tuple[RenditionSpec, ...]:
    """Returns those that are made of a picture of that size.

    A width is left out where the main picture is not as much as 10 % wider: who wants the one
    can load the other.
    """
    specs = tuple(specs)
    widest = max(
        (round(width * spec.scale(width, height)) for spec in specs if spec.fit == "inside"),
        default=width,
    )
    return tuple(spec for spec in specs if spec.fit != "width" or spec.side * 11 < widest * 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendition:
    """One stored picture file. Width and height in pixels."""

    key: str
    width: int
    height: int
    size_bytes: int

    @property
    def mime_type(self) -> str:
        return f"image/{self.key.rpartition('.')[2]}"


def is_by_width(name: str) -> bool:
    """Returns whether files of that name are of a row that a setting adds and takes away."""
    return _BY_WIDTH.fullmatch(name) is not None


def image_of(key: str) -> str | None:
    """Returns the id of the image that an object is a rendition of, by its key."""
    found = _KEY.fullmatch(key)
    return found["id"] if found else None
