"""The table of renditions, and the keys that its rows lie under."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_service.domain.renditions import (
    MAIN,
    RENDITIONS,
    THUMBNAIL,
    image_of,
    table,
    wanted,
)

ID = "01KG8YT2KV0123456789ABCDEF"
TABLE = {spec.name: spec for spec in RENDITIONS}
ANOTHER = replace(TABLE[MAIN], name="another")
user_ids = st.from_regex(r"[A-Za-z0-9_.:@|-]{1,128}", fullmatch=True)


def test_where_files_lie() -> None:
    assert TABLE[MAIN].key("alice", ID) == f"images/alice/{ID}.webp"
    assert TABLE[THUMBNAIL].key("alice", ID) == f"images/alice/thumbnails/{ID}.webp"
    assert ANOTHER.key("alice", ID) == f"images/alice/{ID}/another.webp"


def test_the_table_has_a_row_for_each_width() -> None:
    assert [spec.name for spec in table([640, 320])] == [MAIN, THUMBNAIL, "w320", "w640"]
    assert table()[2].key("alice", ID) == f"images/alice/{ID}/w320.webp"
    assert {spec.name for spec in table([])} == {MAIN, THUMBNAIL}


@pytest.mark.parametrize(
    ("width", "height", "made"),
    [
        (100, 100, []),
        (320, 240, []),
        (321, 240, []),
        (352, 240, []),
        (353, 240, [320]),
        (704, 9, [320]),
        (705, 9, [320, 640]),
        (1408, 1408, [320, 640]),
        (1409, 1409, [320, 640, 1280]),
        (2048, 1536, [320, 640, 1280]),
        (8000, 8000, [320, 640, 1280]),
        (8000, 100, [320, 640, 1280]),
        (100, 8000, []),
        (1376, 8000, []),  # a main picture 352 wide
        (1379, 8000, [320]),
        (3000, 4000, [320, 640, 1280]),  # 1536 wide
        (2000, 4000, [320, 640]),  # 1024 wide
    ],
)
def test_a_width_is_made_where_the_main_picture_is_clearly_wider(
    width: int, height: int, made: list[int]
) -> None:
    names = [MAIN, THUMBNAIL, *(f"w{each}" for each in made)]
    assert [spec.name for spec in wanted(RENDITIONS, width, height)] == names


@given(st.integers(100, 8000), st.integers(100, 8000))
def test_what_is_wanted_of_a_picture_is_wanted_of_its_main_one(width: int, height: int) -> None:
    scale = TABLE[MAIN].scale(width, height)
    main = (max(1, round(width * scale)), max(1, round(height * scale)))
    assert wanted(RENDITIONS, width, height) == wanted(RENDITIONS, *main)


@given(user_ids, user_ids)
def test_neither_users_nor_renditions_share_a_key(one: str, other: str) -> None:
    specs = (*RENDITIONS, ANOTHER)
    keys = {spec.key(user, ID) for user in {one, other} for spec in specs}
    assert len(keys) == len(specs) * len({one, other})


@given(user_ids)
def test_a_key_names_its_image(user: str) -> None:
    assert {image_of(spec.key(user, ID)) for spec in (*RENDITIONS, ANOTHER)} == {ID}


@pytest.mark.parametrize(
    "key",
    [
        f"images/alice/{ID}.jpg",
        f"images/alice/{ID}.webp.webp",
        f"images/alice/{ID}/a/b.webp",
        f"images/{ID}.webp",
        f"temp/alice/{ID}.webp",
        f"images/alice/8{ID[1:]}.webp",
        f"images/alice/{ID.lower()}.webp",
        f"images/alice/{ID}.webp\n",
        "images/alice/thumbnails/a.webp",
    ],
)
def test_a_name_that_is_none_of_ours(key: str) -> None:
    assert image_of(key) is None
