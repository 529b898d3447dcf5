"""The head of a request, bounded and checked while it comes in."""

from __future__ import annotations

from typing import Final

import httptools

from image_service.domain.errors import MalformedBody

MAX_HEAD_BYTES: Final = 32 * 1024  # nginx takes as many; clients send less than a tenth of it
MAX_FIELDS: Final = 100
_LINE_BYTES: Final = 64  # of the first line, without its URL, and the blank one
_FIELD_BYTES: Final = 4  # a colon, a space and a line end
# Two of these can be read in two ways: by us in one, by a proxy in the other.
_ONCE: Final = frozenset(
    {b"host", b"content-length", b"content-type", b"content-encoding", b"transfer-encoding"}
)
_BLANK_IN_URL: Final = "Expected HTTP/"  # what follows a blank there is taken for the version
_VERSIONS: Final = ("1.0", "1.1")


class RequestHead:
    """Counts what is added to it. Raises MalformedBody where it is too much or ambiguous."""

    def __init__(self) -> None:
        self.size = _LINE_BYTES  # bytes, about: some more than it took as clients write it
        self._fields = 0
        self._once: dict[bytes, bytes] = {}

    def add_url(self, part: bytes) -> None:
        self._count(len(part))

    def add_field(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + _FIELD_BYTES)
        self._fields += 1
        if self._fields > MAX_FIELDS:
            raise MalformedBody(
                f"The request has more than {MAX_FIELDS} header fields, the limit; send fewer."
            )
        name = name.lower()
        if name in self._once:
            raise MalformedBody(f"There are two {_title(name)} headers; send one.")
        if name in _ONCE:
            self._once[name] = value.lower()

    def check(self, version: str) -> None:
        """To be called once it is complete; `version` as in "1.1"."""
        if version not in _VERSIONS:
            raise MalformedBody("Only HTTP/1.1 and HTTP/1.0 are spoken here.")
        if version == "1.1" and b"host" not in self._once:
            raise MalformedBody("The request has no Host header; HTTP/1.1 requires one.")
        encoding = self._once.get(b"transfer-encoding")
        if encoding is not None and (encoding != b"chunked" or version == "1.0"):
            raise MalformedBody(
                "The only Transfer-Encoding known here is 'chunked', and that of HTTP/1.1; "
                "send it so, or with a Content-Length."
            )

    def _count(self, more: int) -> None:
        self.size += more
        if self.size > MAX_HEAD_BYTES:
            raise too_much()


def too_much() -> MalformedBody:
    return MalformedBody(
        f"The request has more than {MAX_HEAD_BYTES:,} bytes besides its body, the limit; "
        "send fewer or shorter headers, or a chunked body in larger chunks."
    )


def unreadable(error: httptools.HttpParserError) -> MalformedBody:
    """What the parser stopped at, in words for who wrote the request."""
    cause = str(error)
    if isinstance(error, httptools.HttpParserInvalidURLError) or cause.startswith(_BLANK_IN_URL):
        return MalformedBody(
            "The URL has a character that must be percent-encoded: é as %C3%A9, a blank as %20."
        )
    if isinstance(error, httptools.HttpParserInvalidMethodError):
        cause = "it begins with no known method"
    return MalformedBody(
        f"The request is no well-formed HTTP/1.1: {cause}; see that nothing alters it on its way."
    )


def _title(name: bytes) -> str:
    return name.decode("ascii").title()
