"""Moments in time: aware UTC datetimes with whole milliseconds, ISO 8601 on the wire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def utc_now() -> datetime:
    """The present moment, UTC, cut to milliseconds."""
    return floor_to_milliseconds(datetime.now(UTC))


def floor_to_milliseconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def ceil_to_milliseconds(moment: datetime) -> datetime:
    """The first whole millisecond that is not before `moment`.

    Raises OverflowError within the last millisecond of year 9999.
    """
    floor = floor_to_milliseconds(moment)
    return floor if floor == moment else floor + timedelta(milliseconds=1)


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
