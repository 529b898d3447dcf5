"""Colour profiles within bounds, and what goes on of them."""

from __future__ import annotations

import struct

import pytest
import pyvips
from hypothesis import given
from hypothesis import strategies as st
from tests import pictures

from image_service.pictures.formats import icc

MATRIX = pictures.matrix_profile(pictures.DISPLAY_P3)
PRESS: bytes = pyvips.Operation.call("profile_load", "cmyk")


def tags_of(profile: bytes) -> dict[bytes, bytes]:
    count = struct.unpack_from(">I", profile, 128)[0]
    entries = (struct.unpack_from(">4sII", profile, 132 + 12 * at) for at in range(count))
    return {name: profile[start : start + length] for name, start, length in entries}


def with_tags(profile: bytes, **added: bytes) -> bytes:
    tags = tags_of(profile) | {name.encode(): body for name, body in added.items()}
    start = 132 + 12 * len(tags)
    table, bodies = struct.pack(">I", len(tags)), b""
    for name, body in tags.items():
        table += struct.pack(">4sII", name, start + len(bodies), len(body))
        bodies += body
    return profile[:128] + table + bodies


@pytest.mark.parametrize("profile", [MATRIX, PRESS])
def test_what_is_used_of_a_profile_goes_on(profile: bytes) -> None:
    before, after = tags_of(profile), tags_of(icc.bounded(profile))
    assert after
    assert all(before[name] == body for name, body in after.items())
    assert not {b"B2A0", b"desc", b"cprt"} & after.keys()
    assert struct.unpack_from(">I", icc.bounded(profile))[0] == len(icc.bounded(profile))


def test_multi_process_elements_do_not() -> None:
    elements = b"mpet" + struct.pack(">IHHI", 0, 3, 3, 5000) + bytes(60_000)
    added = dict.fromkeys(("D2B0", "D2B1", "B2D0", "D2B3"), elements)
    assert icc.bounded(with_tags(MATRIX, **added)) == icc.bounded(MATRIX)


@pytest.mark.parametrize("name", ["wtpt", "bkpt", "chad"])
@pytest.mark.parametrize(
    "body", [b"XYZ \0\0\0\0" + bytes(4), b"sf32" + bytes(8), b"mpet" + bytes(40)]
)
def test_a_damaged_tag_that_no_colour_depends_on_is_left_out(name: str, body: bytes) -> None:
    kept = tags_of(icc.bounded(with_tags(MATRIX, **{name: body})))
    assert kept == {tag: own for tag, own in tags_of(MATRIX).items() if tag in kept}
    assert {b"rXYZ", b"rTRC"} <= kept.keys()
    assert name.encode() not in kept


def table(depth: bytes, inputs: int, points: int, entries: int) -> bytes:
    head = depth + bytes(4) + bytes([inputs, 3, points, 0]) + bytes(36)
    return head + (struct.pack(">HH", entries, entries) if depth == b"mft2" else b"")


TOO_MUCH = {
    "a grid that is not there": table(b"mft2", 3, 33, 2) + bytes(1000),
    "the same, of 8 bits": table(b"mft1", 4, 17, 0) + bytes(1000),
    "a grid of 255 points": table(b"mft2", 4, 255, 2) + bytes(1000),
    "fifteen channels": table(b"mft2", 15, 2, 2) + bytes(200_000),
    "a curve that is not there": b"curv" + struct.pack(">II", 0, 50_000) + bytes(100),
    "a curve without end": b"curv" + struct.pack(">II", 0, 2**31) + bytes(100),
    "an unknown curve": b"para" + struct.pack(">IHH", 0, 9, 0) + bytes(100),
    "stages with a grid that is not there": b"mAB "
    + bytes(4)
    + bytes([3, 3, 0, 0])
    + struct.pack(">5I", 0, 0, 0, 32, 0)
    + bytes([33, 33, 33] + [0] * 13)
    + bytes([2, 0, 0, 0]),
    "stages with curves that are not there": b"mAB "
    + bytes(4)
    + bytes([3, 3, 0, 0])
    + struct.pack(">5I", 32, 0, 0, 0, 0)
    + b"curv"
    + struct.pack(">II", 0, 60_000),
    "another kind": b"mpet" + bytes(100),
}


@pytest.mark.parametrize("trick", TOO_MUCH)
def test_what_declares_more_than_it_holds_is_passed_over(trick: str) -> None:
    assert icc.bounded(with_tags(MATRIX, A2B0=TOO_MUCH[trick])) is None


@pytest.mark.parametrize(
    "profile",
    [
        b"",
        MATRIX[:131],
        MATRIX[:128] + b"\0\0\0\xff" + bytes(5000),
        MATRIX[:-50],
        MATRIX + bytes(icc.MAX_BYTES),
    ],
)
def test_a_profile_that_is_cut_or_too_long_is_passed_over(profile: bytes) -> None:
    assert icc.bounded(profile) is None


@given(st.binary(max_size=200), st.integers(0, len(MATRIX)))
def test_no_profile_fails(garbage: bytes, at: int) -> None:
    icc.bounded(MATRIX[:at] + garbage + MATRIX[at + len(garbage) :])
