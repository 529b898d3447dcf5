from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from image_service.domain.times import (
    ceil_to_milliseconds,
    floor_to_milliseconds,
    format_timestamp,
    parse_timestamp,
    read_moment,
    utc_now,
)

MILLISECOND = timedelta(milliseconds=1)

zones = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(
    min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29), timezones=st.just(UTC)
)


def test_the_present_is_utc_in_whole_milliseconds() -> None:
    before = datetime.now(UTC)
    now = utc_now()
    assert now.tzinfo is UTC
    assert now.microsecond % 1000 == 0
    assert before - MILLISECOND < now <= datetime.now(UTC)


@given(moments)
def test_floor_and_ceil_are_the_next_whole_milliseconds(moment: datetime) -> None:
    floor, ceil = floor_to_milliseconds(moment), ceil_to_milliseconds(moment)
    assert floor.microsecond % 1000 == ceil.microsecond % 1000 == 0
    assert floor <= moment <= ceil
    assert ceil - floor == (timedelta(0) if floor == moment else MILLISECOND)


def test_the_last_millisecond_is_its_own_ceiling() -> None:
    last = datetime.max.replace(microsecond=999_000, tzinfo=UTC)
    assert ceil_to_milliseconds(datetime.max.replace(tzinfo=UTC)) == last
    assert ceil_to_milliseconds(last) == last


@given(moments, zones)
def test_parsing_undoes_formatting(moment: datetime, zone: timezone) -> None:
    text = format_timestamp(moment.astimezone(zone))
    assert parse_timestamp(text) == floor_to_milliseconds(moment)
    assert len(text) == len("2026-01-31T09:30:00.000Z")
    assert text.endswith("Z")


@given(moments, moments)
def test_text_sorts_as_time(one: datetime, other: datetime) -> None:
    one, other = floor_to_milliseconds(one), floor_to_milliseconds(other)
    assert (format_timestamp(one) < format_timestamp(other)) == (one < other)


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31T09:30:00Z",
        "2026-01-31T09:30:00.000Z",
        "2026-01-31T10:30:00+01:00",
        "2026-01-31 09:30+00:00",
        "20260131T093000Z",
    ],
)
def test_iso_8601_comes_in_several_spellings(text: str) -> None:
    moment = parse_timestamp(text)
    assert moment == datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
    assert moment.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "1769851800", "2026-01-31", "2026-01-31T09:30:00", "2026-02-30T00:00:00Z",
        "2026-01-31T09:30:00+25:00", "0000-01-01T00:00:00Z", "10000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+01:00",  # before year 1 in UTC
        "9999-12-31T23:59:59-01:00",  # after year 9999
        "2026-01-31T09:30:00Z\n", "\ud800",
    ],
)  # fmt: skip
def test_what_is_no_moment_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        parse_timestamp(text)


@given(st.text() | st.text("0123456789-:.TZ+W ", max_size=40))
@example("0001-01-01T00:00:00+23:59")
def test_no_text_raises_anything_else(text: str) -> None:
    try:
        moment = parse_timestamp(text)
    except ValueError:
        return
    format_timestamp(moment)


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31T09:30:00Z", "2026-01-31t09:30:00z", " 2026-01-31T09:30:00Z ",
        "20260131T093000Z", "20260131T103000 0100", "2026-W05-6T09:30:00Z", "2026-01-31T09:30Z",
        "2026-01-31 09:30:00+00",  # PostgreSQL, its plus as it is and lost
        "2026-01-31 09:30:00 00", "2026-01-31 15:00:00+05:30", "2026-01-31 15:00:00 05:30",
        "2026-01-31 04:30:00-05", "2026-01-31 15:23:28 05:53:28",
        "2026-01-31T10:30:00 01:00", "2026-01-31T10:30:00+0100", "2026-01-31T10:30 01:00",
        "2026-01-31 09:30:00 UTC",  # BigQuery, Ruby
        "2026-01-31 10:30:00 +0100", "2026-01-31 10:30:00  0100",  # Ruby, lost
        "2026-01-31T09:30:00 GMT",
        "2026-01-31T09:30:00.000000000Z", "2026-01-31T09:30:00,0+00:00",  # Java, .NET
        "2026-01-31T10:30+01:00[Europe/Berlin]", "2026-01-31T09:30Z[UTC]",  # Java
    ],
)  # fmt: skip
def test_moments_as_programs_write_them(text: str) -> None:
    assert read_moment(text) == datetime(2026, 1, 31, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00.000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),  # .NET's least
        ("9999-12-31T23:59:59.9999999Z", "9999-12-31T23:59:59.999Z"),  # and its greatest
        ("9999-12-31 23:59:59.999999 00", "9999-12-31T23:59:59.999Z"),
        ("9999-12-31T23:59:59-12:00", "9999-12-31T23:59:59.999Z"),
    ],
)
def test_the_ends_of_the_calendar(text: str, iso: str) -> None:
    assert format_timestamp(ceil_to_milliseconds(read_moment(text))) == iso


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        *((text, "has no zone") for text in ("2026-01-31", "2026-01-31T09:30", "2026-01-31 09:30")),
        *((text, "is not ISO 8601") for text in ("", "now", "1769851800", "10000-01-01T00:00Z",
            "2026-01-31T09:30:00Z x", "Sat, 31 Jan 2026 09:30:00 GMT", "\ud800")),
        ("2026-02-30T00:00:00Z", "is no moment: day is out of range for month"),
        ("2026-01-31T25:00:00Z", "is no moment: hour must be in 0..23"),
        ("2026-01-31T09:30:00+25:00", "is no moment: the zone is off by 24 hours or more"),
    ],
)  # fmt: skip
def test_what_is_no_moment_is_told(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(wrong)}$"):
        read_moment(text)


@given(moments, zones, st.sampled_from([" ", "T"]))
def test_a_lost_plus_is_found_again(moment: datetime, zone: timezone, between: str) -> None:
    text = moment.astimezone(zone).isoformat(sep=between)
    assert read_moment(text) == read_moment(text.replace("+", " ")) == moment


@given(st.text() | st.text("0123456789-:.TZ+W []", max_size=40))
@example("0001-01-01T00:00:00+23:59")
def test_no_moment_raises_anything_else(text: str) -> None:
    try:
        moment = ceil_to_milliseconds(read_moment(text))
    except ValueError:
        return
    assert parse_timestamp(format_timestamp(moment)) == moment
