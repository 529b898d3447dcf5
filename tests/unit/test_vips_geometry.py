"""Sizes, for every shape within the limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_service.pictures.plan import Plan, Size, plan_sizes

sizes = st.builds(Size, st.integers(1, 8000), st.integers(1, 8000))


def plan(source: Size) -> Plan:
    return plan_sizes(source, main_size=2048, thumbnail_size=400)


@given(sizes)
def test_nothing_is_enlarged_and_everything_fits(source: Size) -> None:
    made = plan(source)
    assert 1 <= made.main.width <= min(2048, source.width)
    assert 1 <= made.main.height <= min(2048, source.height)
    assert made.thumbnail_side == min(400, source.width, source.height)
    assert made.decoded.width <= source.width
    assert made.decoded.height <= source.height


@given(sizes)
def test_both_pictures_can_be_cut_from_the_one_decoded(source: Size) -> None:
    made = plan(source)
    assert made.decoded.width >= made.main.width
    assert made.decoded.height >= made.main.height
    assert made.decoded.width >= made.covering.width
    assert made.decoded.height >= made.covering.height
    assert min(made.covering) == made.thumbnail_side


@given(sizes)
def test_the_shape_is_kept_to_the_pixel(source: Size) -> None:
    made = plan(source)
    for made_size in (made.main, made.decoded, made.covering):
        scale = max(made_size) / max(source)
        assert abs(min(made_size) - min(source) * scale) <= 1


@given(sizes)
def test_a_picture_on_its_side_gets_the_same_on_its_side(source: Size) -> None:
    made, turned = plan(source), plan(Size(source.height, source.width))
    assert made.main == turned.main[::-1]
    assert made.decoded == turned.decoded[::-1]
    assert made.covering == turned.covering[::-1]


@given(sizes)
def test_what_is_decoded_is_no_larger_than_it_must_be(source: Size) -> None:
    made = plan(source)
    if max(source) <= 5 * min(source):
        assert made.decoded == made.main
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
    expected = Plan(Size(*decoded), Size(*main), Size(*covering), min(400, *source))
    assert plan(Size(*source)) == expected
