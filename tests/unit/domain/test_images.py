from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ulid import ULID

from image_service.domain.errors import PreconditionMismatch, VersionMismatch, VersionRequired
from image_service.domain.images import (
    CdnUrls,
    ExpectedVersion,
    Image,
    is_image_id,
    new_image_id,
)
from image_service.domain.renditions import MAIN, RENDITIONS, THUMBNAIL, Rendition

AT = datetime(2026, 1, 31, 9, 30, 0, 123_000, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ID = "01KG8YT2KV0123456789ABCDEF"

_PATHS = Path(__file__).parents[3] / "terraform/tests/picture_paths.json"
SPELLINGS = [(row["path"], row["answer"]) for row in json.loads(_PATHS.read_text())]
user_ids = st.from_regex(r"[A-Za-z0-9_.:@|-]{1,128}", fullmatch=True)


def image() -> Image:
    return Image(
        id=ID,
        user_id="alice",
        album_id=None,
        original_filename="castle.png",
        original_mime_type="image/png",
        original_width=3000,
        original_height=1500,
        file_size=1000,
        checksum="0" * 64,
        renditions={
            MAIN: Rendition(key="m.webp", width=2048, height=1023, size_bytes=300),
            THUMBNAIL: Rendition(key="t.webp", width=400, height=400, size_bytes=20),
        },
        format="webp",
        quality=85,
        placeholder="",
        dominant_color="#000000",
        title="Castle",
        description=None,
        alt_text=None,
        tags=("lego",),
        uploaded_at=AT,
        created_at=AT,
        updated_at=AT,
    )


class TestIds:
    @given(st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)))
    def test_the_time_in_it_is_exact(self, at: datetime) -> None:
        made = new_image_id(at)
        assert is_image_id(made)
        assert ULID.from_str(made).milliseconds == (at - EPOCH) // timedelta(milliseconds=1)

    def test_they_sort_by_time(self) -> None:
        made = [new_image_id(AT + timedelta(milliseconds=n)) for n in range(200)]
        assert made == sorted(made)

    def test_neighbours_cannot_be_guessed(self) -> None:
        tails = [int.from_bytes(ULID.from_str(new_image_id(AT)).bytes[6:]) for _ in range(500)]
        assert len(set(tails)) == 500
        assert min(abs(a - b) for a, b in pairwise(tails)) > 2**32
        # All 80 bits vary.
        ones, zeros = 0, 0
        for tail in tails:
            ones |= tail
            zeros |= ~tail
        assert ones == 2**80 - 1
        assert zeros & (2**80 - 1) == 2**80 - 1

    @pytest.mark.parametrize(
        "text",
        [
            "", ID[:-1], ID + "0", ID.lower(), "8" + ID[1:], ID[:-1] + "I", ID[:-1] + "L",
            ID[:-1] + "O", ID[:-1] + "U", ID + "\n", " " + ID, ID[:-1] + "/",
            ID[:-1] + "\N{ARABIC-INDIC DIGIT ONE}", "..", "thumbnails",
        ],
    )  # fmt: skip
    def test_what_is_no_id(self, text: str) -> None:
        assert not is_image_id(text)
        assert is_image_id(ID)


class TestUrls:
    @given(user_ids)
    def test_urls_and_invalidation_paths_encode_alike(self, user: str) -> None:
        key = RENDITIONS[0].key(user, ID)
        path = CdnUrls.path(key)
        assert CdnUrls("https://cdn.example.com").url(key) == "https://cdn.example.com" + path
        assert path.startswith("/images/")
        assert unquote(path[1:]) == key
        assert path.isascii()
        # What a URL gives a meaning of its own, or CloudFront takes for a wildcard.
        assert not set("?#*|@: ") & set(path)


@pytest.mark.parametrize("path", [path for path, answer in SPELLINGS if answer == "pass"])
def test_the_edge_lets_the_services_own_spelling_pass_and_no_other(path: str):
    assert path == CdnUrls.path(unquote(path).removeprefix("/"))


@pytest.mark.parametrize(("path", "answer"), SPELLINGS)
def test_the_edge_leads_other_spellings_to_the_services_own(path: str, answer: str):
    if answer.startswith("/"):
        assert path != answer == CdnUrls.path(unquote(path).removeprefix("/"))


class TestImage:
    def test_what_is_computed(self) -> None:
        made = image()
        assert made.main.key == "m.webp"
        assert made.thumbnail.key == "t.webp"
        assert made.aspect_ratio == 2.002
        assert made.mime_type == "image/webp"
        assert made.stored_bytes == 320
        assert made.object_keys == ("m.webp", "t.webp")

    def test_an_edit_is_the_next_version(self) -> None:
        before, later = image(), AT + timedelta(seconds=1)
        after = before.edited({"title": None, "tags": ("a", "b")}, later)
        assert (after.title, after.tags, after.version) == (None, ("a", "b"), 2)
        assert (after.updated_at, after.created_at, after.uploaded_at) == (later, AT, AT)
        assert (after.original_filename, after.album_id) == ("castle.png", None)
        assert before == image()

    def test_no_files_of_a_newer_release_are_among_those_by_width(
        self,
    ) -> None:
        def file(key: str, width: int) -> Rendition:
            return Rendition(key=key, width=width, height=9, size_bytes=1)

        names = {"w90": 90, "w320": 320, "portrait": 300, "w320-avif": 320}
        made = image()
        made = made.rendered({**made.renditions, **{n: file(n, w) for n, w in names.items()}})
        assert [name for name, _ in made.by_width] == ["w90", "w320", MAIN]
        assert set(names) < set(made.object_keys)  # which are deleted with it

    def test_other_renditions_change_the_entity_tag_and_nothing_of_an_edit(self) -> None:
        before = image()
        after = before.rendered({MAIN: before.main})
        assert (after.object_keys, after.version, after.revision) == (("m.webp",), 1, 1)
        assert (after.updated_at, before.entity_tag, after.entity_tag) == (AT, "1", "1.1")
        assert after.edited({}, AT).rendered(after.renditions).entity_tag == "2.2"


class TestExpectedVersion:
    def test_one_of_the_two_is_required(self) -> None:
        with pytest.raises(VersionRequired):
            ExpectedVersion().require()
        ExpectedVersion(body=1).require()
        ExpectedVersion(if_match=frozenset("1")).require()

    @pytest.mark.parametrize(
        "expected",
        [
            ExpectedVersion(),
            ExpectedVersion(body=3),
            ExpectedVersion(if_match=frozenset({"3"})),
            ExpectedVersion(if_match=frozenset({"1", "3"})),
            ExpectedVersion(if_match="*"),
            ExpectedVersion(if_match=frozenset({"2", "3.1"})),
            ExpectedVersion(body=3, if_match=frozenset({"3"})),
        ],
    )
    def test_current(self, expected: ExpectedVersion) -> None:
        expected.check(3)

    @pytest.mark.parametrize(
        ("expected", "error"),
        [
            (ExpectedVersion(body=2), VersionMismatch),
            (ExpectedVersion(body=2, if_match="*"), VersionMismatch),
            (ExpectedVersion(body=2, if_match=frozenset({"3"})), VersionMismatch),
            (ExpectedVersion(if_match=frozenset({"2"})), PreconditionMismatch),
            (ExpectedVersion(if_match=frozenset({"03", "x", ""})), PreconditionMismatch),
            (
                ExpectedVersion(if_match=frozenset({"2.3", "3.", "3.x", "3.1.1"})),
                PreconditionMismatch,
            ),
            (ExpectedVersion(if_match=frozenset()), PreconditionMismatch),
            (ExpectedVersion(body=2, if_match=frozenset({"2"})), PreconditionMismatch),
        ],
    )
    def test_stale(self, expected: ExpectedVersion, error: type[VersionMismatch]) -> None:
        with pytest.raises(VersionMismatch) as raised:
            expected.check(3)
        assert type(raised.value) is error
        assert raised.value.current_version == 3
