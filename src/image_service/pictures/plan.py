"""Sizes of what is made of a picture: whole pixels, no libvips."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from image_service.domain.renditions import RenditionSpec, wanted


class Size(NamedTuple):
    width: int
    height: int

    def scaled(self, scale: float) -> Size:
        """In whole pixels, at least one."""
        return Size(max(1, round(self.width * scale)), max(1, round(self.height * scale)))


class Output(NamedTuple):
    """A rendition of one picture: made of the `whole` picture at that size."""

    spec: RenditionSpec
    whole: Size

    @property
    def is_square(self) -> bool:
        return self.spec.fit == "cover"


@dataclass(frozen=True, slots=True)
class Plan:
    """Outputs from the largest to the smallest, each made from the one before it."""

    outputs: tuple[Output, ...]

    @property
    def decoded(self) -> Size:
        """The one size that all others are made from."""
        return self.outputs[0].whole

    @property
    def sketched(self) -> Output:
        """The output whose whole picture the placeholders are made of.

        It is the smallest that a square is cut from: its short side has pixels enough.
        """
        squares = [output for output in self.outputs if output.is_square]
        return (squares or self.outputs)[-1]


def plan_sizes(source: Size, specs: Iterable[RenditionSpec]) -> Plan:
    """Returns the sizes of what is wanted of a picture of size `source`; none is larger than it.

    Past a shape of about 5:1 the short side of the main picture is shorter than the
    thumbnail's, and so the thumbnail is made first there.
    """
    outputs = [Output(spec, source.scaled(spec.scale(*source))) for spec in wanted(specs, *source)]
    return Plan(tuple(sorted(outputs, key=lambda output: output.whole, reverse=True)))
