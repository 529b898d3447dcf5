"""The bounds of a request beside its body: its head, and the frames of its chunks."""

from __future__ import annotations

from typing import Final

from image_service.domain.errors import MalformedBody

_MAX_BYTES: Final = 32 * 1024  # nginx takes as many; clients send less than a tenth of it
_MAX_FIELDS: Final = 100
_LINE_BYTES: Final = 64  # of the first line, without its URL, and the blank one
_FIELD_BYTES: Final = 4  # a colon, a space and a line end
_CHUNK_FRAME_BYTES: Final = 32  # a chunk's size and two line ends, generously
# Two of these can be read in two ways: by us in one, by a proxy in the other.
_ONCE: Final = frozenset(
    {b"host", b"content-length", b"content-type", b"content-encoding", b"transfer-encoding"}
)
_VERSIONS: Final = ("1.0", "1.1")


class RequestBounds:
    """Counts what is added to it. Raises MalformedBody where it is too much or ambiguous."""

    def __init__(self) -> None:
        self._accounted = 0  # of what is being parsed: heads, bodies, their frames
        self.begin()

    def begin(self) -> None:
        self._head_bytes = _LINE_BYTES  # about: some more than it took as clients write it
        self._other_bytes = 0  # received of this request, neither its head nor its body
        self._fields = 0
        self._once: dict[bytes, bytes] = {}

    def add_url(self, part: bytes) -> None:
        self._count(len(part))

    def add_field(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + _FIELD_BYTES)
        self._fields += 1
        if self._fields > _MAX_FIELDS:
            raise MalformedBody(
                f"The request has more than {_MAX_FIELDS} header fields, the limit; send fewer."
            )
        name = name.lower()
        if name in self._once:
            raise MalformedBody(f"There are two {_title(name)} headers; send one.")
        if name in _ONCE:
            self._once[name] = value.lower()

    def end_head(self, version: str) -> None:
        """To be called once the head is complete; `version` as in "1.1"."""
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
        self._accounted += self._head_bytes

    def add_body(self, count: int) -> None:
        self._accounted += count + min(count, _CHUNK_FRAME_BYTES)

    def end_piece(self, count: int) -> None:
        """To be called once `count` bytes that came together have been parsed."""
        self._other_bytes = max(0, self._other_bytes + count - self._accounted)
        self._accounted = 0
        if self._other_bytes > _MAX_BYTES:
            raise _too_much()

    def _count(self, more: int) -> None:
        self._head_bytes += more
        if self._head_bytes > _MAX_BYTES:
            raise _too_much()


def _too_much() -> MalformedBody:
    return MalformedBody(
        f"The request has more than {_MAX_BYTES:,} bytes besides its body, the limit; "
        "send fewer or shorter headers, or a chunked body in larger chunks."
    )


def _title(name: bytes) -> str:
    return name.decode("ascii").title()
