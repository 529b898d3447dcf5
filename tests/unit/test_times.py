from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from image_service.domain.times import (
    ceil_to_milliseconds,
    floor_to_milliseconds,
    format_timestamp,
    parse_timestamp,
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


def test_there_is_no_ceiling_above_the_last_millisecond() -> None:
    with pytest.raises(OverflowError):
        ceil_to_milliseconds(datetime.max.replace(tzinfo=UTC))


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
