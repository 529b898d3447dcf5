"""The table of renditions, and the keys that its rows lie under."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_service.domain.renditions import MAIN, RENDITIONS, THUMBNAIL, image_of

ID = "01KG8YT2KV0123456789ABCDEF"
TABLE = {spec.name: spec for spec in RENDITIONS}
ANOTHER = replace(TABLE[MAIN], name="another")
user_ids = st.from_regex(r"[A-Za-z0-9_.:@|-]{1,128}", fullmatch=True)


def test_where_files_lie() -> None:
    assert TABLE[MAIN].key("alice", ID) == f"images/alice/{ID}.webp"
    assert TABLE[THUMBNAIL].key("alice", ID) == f"images/alice/thumbnails/{ID}.webp"
    assert ANOTHER.key("alice", ID) == f"images/alice/{ID}/another.webp"


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
