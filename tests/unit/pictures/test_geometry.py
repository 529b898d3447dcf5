"""Sizes, for every shape within the limits."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import pictures

from image_service.domain.renditions import (
    MAIN,
    RENDITIONS,
    THUMBNAIL,
    RenditionSpec,
    table,
    wanted,
)
from image_service.pictures.header import PictureLimits, read_header
from image_service.pictures.plan import Plan, Size, plan_sizes

sizes = st.builds(Size, st.integers(1, 8000), st.integers(1, 8000))
WHOLE, SQUARE = RENDITIONS[0], RENDITIONS[1]
tables = st.lists(
    st.builds(replace, st.sampled_from(RENDITIONS), side=st.integers(1, 4000)),
    max_size=6,
).map(lambda specs: [WHOLE, *specs])


def plan(source: Size) -> Plan:
    return plan_sizes(source, RENDITIONS)


def wholes(made: Plan) -> dict[str, Size]:
    return {output.spec.name: output.whole for output in made.outputs}


@given(sizes)
def test_nothing_is_enlarged_and_everything_fits(source: Size) -> None:
    made = plan(source)
    main, covering = wholes(made)[MAIN], wholes(made)[THUMBNAIL]
    assert 1 <= main.width <= min(2048, source.width)
    assert 1 <= main.height <= min(2048, source.height)
    assert min(covering) == min(400, source.width, source.height)
    assert made.decoded.width <= source.width
    assert made.decoded.height <= source.height


@given(sizes, tables)
def test_each_is_made_of_one_at_least_as_large(source: Size, specs: list[RenditionSpec]) -> None:
    made = plan_sizes(source, specs)
    assert sorted(map(repr, wanted(specs, *source))) == sorted(repr(o.spec) for o in made.outputs)
    smaller = made.decoded
    for output in made.outputs:
        assert output.whole.width <= smaller.width
        assert output.whole.height <= smaller.height
        smaller = output.whole


@given(sizes)
def test_the_shape_is_kept_to_the_pixel(source: Size) -> None:
    for whole in wholes(plan(source)).values():
        scale = max(whole) / max(source)
        assert abs(min(whole) - min(source) * scale) <= 1


@given(sizes)
def test_a_picture_on_its_side_gets_the_same_on_its_side(source: Size) -> None:
    made, turned = (
        plan_sizes(size, table([])) for size in (source, Size(source.height, source.width))
    )
    assert made.decoded == turned.decoded[::-1]
    assert wholes(made) == {name: whole[::-1] for name, whole in wholes(turned).items()}


@given(sizes)
def test_what_is_decoded_is_no_larger_than_it_must_be(source: Size) -> None:
    made = plan(source)
    if max(source) <= 5 * min(source):
        assert made.decoded == wholes(made)[MAIN]
    assert made.decoded.width * made.decoded.height <= max(2048 * 2048, 8000 * 400)


@pytest.mark.parametrize(
    ("source", "decoded", "main", "covering"),
    [
        ((8000, 100), (8000, 100), (2048, 26), (8000, 100)),
        ((100, 8000), (100, 8000), (26, 2048), (100, 8000)),
        ((8000, 400), (8000, 400), (2048, 102), (8000, 400)),
        ((8000, 1000), (3200, 400), (2048, 256), (3200, 400)),
        ((8000, 8000), (2048, 2048), (2048, 2048), (400, 400)),
        ((2048, 1536), (2048, 1536), (2048, 1536), (533, 400)),
        ((100, 100), (100, 100), (100, 100), (100, 100)),
    ],
)
def test_known_shapes(
    source: tuple[int, int],
    decoded: tuple[int, int],
    main: tuple[int, int],
    covering: tuple[int, int],
) -> None:
    made = plan(Size(*source))
    assert made.decoded == decoded
    assert (wholes(made)[MAIN], wholes(made)[THUMBNAIL]) == (main, covering)
    assert made.sketched.whole == covering


def test_placeholders_are_made_of_the_smallest_whole_picture_with_a_square() -> None:
    small = replace(WHOLE, side=50)
    source = Size(3000, 2000)
    assert plan_sizes(source, [*RENDITIONS, small]).sketched.spec == SQUARE
    assert plan_sizes(source, [WHOLE, small]).sketched.spec == small


@pytest.mark.parametrize(("width", "more"), [(352, False), (600, True), (4000, True)])
def test_files_by_width_count_in_the_memory_that_a_picture_takes(width: int, more: bool) -> None:
    data = pictures.jpeg_claiming(width, 3000)
    two, five = (
        read_header(data, PictureLimits(renditions=specs)).decode_bytes
        for specs in (table([]), table())
    )
    assert (five > two) == more
    assert five < 1.05 * two
