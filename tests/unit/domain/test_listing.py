from __future__ import annotations

import string
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.unit.domain.test_images import image

from image_service.domain.cursors import seal
from image_service.domain.errors import InvalidCursor
from image_service.domain.images import new_image_id
from image_service.domain.listing import (
    ListQuery,
    Position,
    _list_of,
    decode_cursor,
    encode_cursor,
)
from image_service.domain.times import floor_to_milliseconds

AT = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
URL_SAFE = string.ascii_letters + string.digits + "-_"

moments = st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)).map(
    floor_to_milliseconds
)
positions = st.builds(Position, moments, st.builds(new_image_id, moments))
queries = st.builds(
    ListQuery,
    limit=st.integers(1, 100),
    album_id=st.none() | st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True),
    tags=st.lists(st.text(min_size=1, max_size=5), max_size=3).map(tuple),
    order=st.sampled_from(["asc", "desc"]),
)
POSITION = Position(AT, "01KG8YT2KV0123456789ABCDEF")
QUERY = ListQuery(album_id="castles", tags=("lego",), uploaded_after=AT)


class TestCursor:
    @given(positions, queries, st.text(max_size=20))
    def test_decoding_undoes_encoding(self, place: Position, query: ListQuery, user: str) -> None:
        cursor = encode_cursor(place, user, query)
        assert decode_cursor(cursor, user, query) == place

    @given(positions, queries)
    def test_it_is_short_and_safe_in_a_url(self, place: Position, query: ListQuery) -> None:
        cursor = encode_cursor(place, "alice", query)
        assert len(cursor) == 40
        assert set(cursor) <= set(URL_SAFE)

    def test_it_is_the_same_on_every_task(self) -> None:
        """A deploy must not void the cursors that clients hold: change this on purpose only."""
        cursor = encode_cursor(POSITION, "alice", QUERY)
        assert cursor == encode_cursor(POSITION, "alice", QUERY)
        assert cursor.startswith("AZwTY0nA")  # the milliseconds
        assert encode_cursor(POSITION, "alice", replace(QUERY, tags=("LEGO",))) == cursor

    @pytest.mark.parametrize(
        "changes",
        [
            {"album_id": "castle"},
            {"album_id": None},
            {"tags": ()},
            {"tags": ("lego", "moc")},
            {"uploaded_after": AT - timedelta(milliseconds=1)},
            {"uploaded_after": None},
            {"uploaded_before": AT + timedelta(days=1)},
            {"order": "asc"},
        ],
    )
    def test_it_is_bound_to_the_filters(self, changes: dict) -> None:
        cursor = encode_cursor(POSITION, "alice", QUERY)
        with pytest.raises(InvalidCursor):
            decode_cursor(cursor, "alice", replace(QUERY, **changes))

    @pytest.mark.parametrize("changes", [{"limit": 5}, {"tags": ("LEGO",)}, {"start": POSITION}])
    def test_but_not_to_what_changes_from_page_to_page(self, changes: dict) -> None:
        cursor = encode_cursor(POSITION, "alice", QUERY)
        assert decode_cursor(cursor, "alice", replace(QUERY, **changes)) == POSITION

    def test_it_is_bound_to_the_user(self) -> None:
        cursor = encode_cursor(POSITION, "alice", QUERY)
        for other in ("bob", "", "alice\0", "Alice"):
            with pytest.raises(InvalidCursor):
                decode_cursor(cursor, other, QUERY)

    @given(positions, st.integers(0, 39), st.sampled_from(URL_SAFE + "+/=. \n\0é"))
    def test_any_change_is_seen(self, place: Position, at: int, character: str) -> None:
        cursor = encode_cursor(place, "alice", ListQuery())
        changed = cursor[:at] + character + cursor[at + 1 :]
        assume(changed != cursor)
        with pytest.raises(InvalidCursor):
            decode_cursor(changed, "alice", ListQuery())

    @pytest.mark.parametrize("spelling", [("-", "+"), ("_", "/")])
    def test_there_is_one_spelling(self, spelling: tuple[str, str]) -> None:
        ours, foreign = spelling
        places = (Position(AT + timedelta(milliseconds=n), POSITION.image_id) for n in range(999))
        cursors = (encode_cursor(place, "alice", QUERY) for place in places)
        cursor = next(cursor for cursor in cursors if ours in cursor)
        with pytest.raises(InvalidCursor):
            decode_cursor(cursor.replace(ours, foreign), "alice", QUERY)

    @given(st.text() | st.text(URL_SAFE, min_size=40, max_size=40) | st.text(URL_SAFE + "=+/"))
    def test_no_text_raises_anything_else(self, text: str) -> None:
        with pytest.raises(InvalidCursor):
            decode_cursor(text, "alice", ListQuery())

    def test_a_forged_one_beyond_the_calendar_is_invalid(self) -> None:
        forged = seal(b"\xff" * 22, _list_of("alice", ListQuery()))
        with pytest.raises(InvalidCursor):
            decode_cursor(forged, "alice", ListQuery())

    @pytest.mark.parametrize(
        ("bounds", "inside"),
        [
            ({"uploaded_after": AT}, True),  # inclusive
            ({"uploaded_after": AT + timedelta(milliseconds=1)}, False),
            ({"uploaded_before": AT + timedelta(milliseconds=1)}, True),
            ({"uploaded_before": AT}, False),  # exclusive
        ],
    )
    def test_a_forged_one_outside_the_range_is_invalid(self, bounds: dict, inside: bool) -> None:
        query = ListQuery(**bounds)
        cursor = encode_cursor(POSITION, "alice", query)
        if inside:
            assert decode_cursor(cursor, "alice", query) == POSITION
        else:
            with pytest.raises(InvalidCursor):
                decode_cursor(cursor, "alice", query)


class TestQuery:
    @pytest.mark.parametrize(
        ("query", "countable"),
        [
            (ListQuery(), True),
            (ListQuery(album_id="a", order="asc", limit=1, start=POSITION), True),
            (ListQuery(tags=("a",)), False),
            (ListQuery(album_id="a", tags=("a",)), False),
            (ListQuery(uploaded_after=AT), False),
            (ListQuery(uploaded_before=AT), False),
        ],
    )
    def test_a_counter_knows_users_and_albums_only(self, query: ListQuery, countable: bool) -> None:
        assert query.countable is countable

    @pytest.mark.parametrize(
        ("query", "matches"),
        [
            (ListQuery(), True),
            (ListQuery(album_id="castles"), True),
            (ListQuery(album_id="Castles"), False),
            (ListQuery(tags=("LEGO",)), True),
            (ListQuery(tags=("lego", "Stra\N{LATIN SMALL LETTER SHARP S}e")), True),
            (ListQuery(tags=("lego", "moc")), False),
            (ListQuery(uploaded_after=AT), True),
            (ListQuery(uploaded_after=AT + timedelta(milliseconds=1)), False),
            (ListQuery(uploaded_before=AT), False),
            (ListQuery(uploaded_before=AT + timedelta(milliseconds=1)), True),
            (ListQuery(album_id="other", tags=("lego",), uploaded_after=AT), False),
        ],
    )
    def test_matches(self, query: ListQuery, matches: bool) -> None:
        made = replace(image(), album_id="castles", tags=("Lego", "STRASSE"), uploaded_at=AT)
        assert query.matches(made) is matches

    def test_no_album_matches_no_album(self) -> None:
        assert not ListQuery(album_id="castles").matches(image())
