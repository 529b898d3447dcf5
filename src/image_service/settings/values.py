"""Types of single settings: origins, URLs, rates, headers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Annotated
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from image_service.domain.access import read_rate
from image_service.domain.renditions import LEAST_WIDTH, MOST_WIDTH, MOST_WIDTHS

_WEB_ORIGIN = re.compile(r"https?://(?P<subdomains>\*\.)?(?P<host>[a-z0-9.-]+)(:\d+)?")
_APP_ORIGIN = re.compile(r"(?!https?:|file:)[a-z][a-z0-9+.-]*://[a-z0-9.-]*")  # hybrid apps
_ANY_LOCAL_PORT = re.compile(r"https?://(localhost|127\.0\.0\.1):\*")


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return [part.strip() for part in value.split(",") if part.strip()]


def _http_url(value: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", value):
        raise ValueError("must be an http(s) URL without query or fragment")
    return value.rstrip("/")


def _redis_url(value: SecretStr) -> SecretStr:
    url = value.get_secret_value()
    possible = re.fullmatch(r"rediss?://([^\s/?#]*@)?[^\s/?#@]+(/\d*)?(\?[^\s#]*)?", url)
    if not (possible and _can_be_dialled(url)):
        raise ValueError("must be redis://[user:password@]host[:port][/db], or rediss:// for TLS")
    if not unquote(possible[1] or "").isprintable():
        raise ValueError("user and password must be printable: no newline, not as %0A either")
    return value


def _can_be_dialled(url: str) -> bool:
    """Returns whether its port, where it names one, is of those there are."""
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def _rate(value: str) -> str:
    try:
        read_rate(value)
    except ValueError:
        raise ValueError("must be one rate above zero, such as '100/minute'") from None
    return value


def _widths(values: Sequence[str | int]) -> tuple[int, ...]:
    if list(values) == ["none"]:  # where variables that are empty get lost on their way
        return ()
    try:
        widths = tuple(map(int, values))
    except ValueError:
        widths = ()
    possible = len(widths) == len(values) <= MOST_WIDTHS and len(set(widths)) == len(widths)
    if not (possible and all(LEAST_WIDTH <= width <= MOST_WIDTH for width in widths)):
        raise ValueError(
            f"must be up to {MOST_WIDTHS} different whole numbers from {LEAST_WIDTH} to "
            f"{MOST_WIDTH}, such as '320,640,1280', or 'none'"
        )
    return tuple(sorted(widths))


def _origin(value: str) -> str:
    """As browsers send it: lower case, without the port that its scheme implies."""
    origin = re.sub(r"^(https://[^/]+):443$|^(http://[^/]+):80$", r"\1\2", value.lower())
    if _ANY_LOCAL_PORT.fullmatch(origin) or _APP_ORIGIN.fullmatch(origin):
        return origin
    found = _WEB_ORIGIN.fullmatch(origin)
    if not found:
        raise ValueError(
            f"{value!r} is not an origin such as 'https://example.com', 'https://*.example.com', "
            "'capacitor://localhost' or 'http://localhost:*' (the last for this machine alone)"
        )
    if found["subdomains"] and not _is_one_owners(found["host"]):
        raise ValueError(
            f"{value!r} lets in every site under the public suffix {found['host']!r}; "
            "name a domain of your own under it"
        )
    return origin


@cache  # reading the list takes longer than all other settings
def _is_one_owners(domain: str) -> bool:
    """Returns whether all its subdomains are one owner's: not so of com, co.uk, github.io."""
    from publicsuffixlist import PublicSuffixList  # noqa: PLC0415  # 20 ms, for wildcards alone

    return PublicSuffixList().privatesuffix(domain) is not None


CommaSeparated = BeforeValidator(_split)
Url = Annotated[str, AfterValidator(_http_url)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]  # may hold a password
Rate = Annotated[str, AfterValidator(_rate)]
Origin = Annotated[str, AfterValidator(_origin)]
Widths = Annotated[tuple[int, ...], BeforeValidator(_widths)]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,100}$")]
HeaderValue = Annotated[str, Field(pattern=r"^[ -~]+$")]
ClientId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:@|-]{1,128}$")]  # as a `sub`
NonEmpty = Annotated[str, Field(min_length=1)]
