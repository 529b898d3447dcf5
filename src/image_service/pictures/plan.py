"""The sizes to make of a picture: whole pixels, no libvips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Size(NamedTuple):
    width: int
    height: int

    def scaled(self, scale: float) -> Size:
        """In whole pixels, at least one."""
        return Size(max(1, round(self.width * scale)), max(1, round(self.height * scale)))


@dataclass(frozen=True, slots=True)
class Plan:
    """`decoded` is the one size all others are made from.

    The thumbnail is a square of `thumbnail_side`, cut from the picture at size `covering`.
    """

    decoded: Size
    main: Size
    covering: Size
    thumbnail_side: int


def plan_sizes(source: Size, *, main_size: int, thumbnail_size: int) -> Plan:
    """Sizes for a picture of size `source`; nothing is ever larger than it.

    The main picture fits into a square of `main_size`. Past a shape of about 5:1 its short
    side is shorter than the thumbnail's, and so `decoded` is larger than `main` there.
    """
    short = min(source)
    side = min(thumbnail_size, short)
    main_scale = min(1.0, main_size / max(source))
    return Plan(
        decoded=source.scaled(max(main_scale, side / short)),
        main=source.scaled(main_scale),
        covering=source.scaled(side / short),
        thumbnail_side=side,
    )
