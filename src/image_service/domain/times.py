"""Moments in time: aware UTC datetimes with whole milliseconds, ISO 8601 on the wire."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

# A date and a time, and a zone that programs write in other ways than ISO 8601: after a blank,
# by name, with a place after it (RFC 9557), or with its plus made a blank by a form decoder.
_ZONED = re.compile(
    r"(.{8,}[T ]\d[\d:.,]*) ?"
    r"(?:Z|UTC|GMT|(?P<sign>[ +-])(?P<off>\d\d(?::?\d\d){0,2}))(?:\[[^\]]*\])*"
)
_END: Final = datetime.max.replace(microsecond=999_000, tzinfo=UTC)


def utc_now() -> datetime:
    """The present moment, UTC, cut to milliseconds."""
    return floor_to_milliseconds(datetime.now(UTC))


def floor_to_milliseconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def ceil_to_milliseconds(moment: datetime) -> datetime:
    """The first whole millisecond that is not before `moment`, or the last there is."""
    floor = floor_to_milliseconds(moment)
    return floor if floor in {moment, _END} else floor + timedelta(milliseconds=1)


def format_timestamp(moment: datetime) -> str:
    """`2026-01-31T09:30:00.000Z`; sorts as text in the order of time (years 1 to 9999)."""
    utc = moment.astimezone(UTC)
    return utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_timestamp(text: str) -> datetime:
    """The inverse of `format_timestamp`. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("the timestamp has no zone")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the timestamp lies outside the years 1 to 9999") from None


def read_moment(text: str) -> datetime:
    """A moment as common programs write it, such as PostgreSQL's `2026-01-31 09:30:00+00`.

    Outside the years 1 to 9999 in UTC, which their zones can reach, it is the nearest within.
    Raises ValueError, whose text says what is wrong.
    """
    text = text.strip().upper()
    if found := _ZONED.fullmatch(text):
        text = found[1] + (found["sign"].replace(" ", "+") + found["off"] if found["off"] else "Z")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(_what_is_wrong(str(error))) from None
    if moment.tzinfo is None:
        raise ValueError("has no zone")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC) if moment.year == 1 else _END


def _what_is_wrong(cause: str) -> str:
    """Python's cause, as far as it says something to others."""
    if "isoformat" in cause:
        return "is not ISO 8601"
    return f"is no moment: {'the zone is off by 24 hours or more' if 'delta' in cause else cause}"
