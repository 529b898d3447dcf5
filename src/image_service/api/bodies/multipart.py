"""Upload forms (multipart/form-data), read as they arrive, in memory, within bounds.

What is over a bound is refused when the first byte over it is seen, without reading on.
The bounds: the file, the text of all other parts together, the number of parts, the
headers of a part, and `framing`, which is all the rest (boundaries, headers, and whatever
lies around the parts).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, Mapping
from typing import Final

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError

from image_service.api.bodies.form_parts import (
    FormLimits,
    FormParts,
    UploadForm,
    shown,
    size_text,
    too_many_parts,
)
from image_service.api.bodies.json_text import read_json
from image_service.api.bodies.part_headers import parse_header
from image_service.domain.errors import FileTooLarge, MalformedBody, UnsupportedMediaType
from image_service.domain.fields import FieldError, is_blank

_LEAD: Final = "\ufeff \t\r\n"  # before a JSON array
_MAX_OPENING_BYTES: Final = 1024
_HEADERS_END = re.compile(rb"\A\r\n|\r\n\r\n")
_FOLD = re.compile(rb"\r\n(?=[ \t])")
# RFC 2046, section 5.1.1, allows 1 to 70 characters, fewer kinds than are accepted here.
_BOUNDARY = re.compile(rb"[ -~]{0,69}[!-~]")
_REPAIR: Final = "send a complete multipart/form-data body, best made by your HTTP library"


def check_content_length(content_length: int | None, limits: FormLimits) -> None:
    """Raise FileTooLarge where the body is too long whatever is in it."""
    if content_length is not None and content_length > limits.max_body_bytes:
        raise FileTooLarge(
            f"The request has {content_length:,} bytes; the limit for the file in it is "
            f"{size_text(limits.max_file_bytes)}. Reduce the picture and try again.",
            details={"measured": content_length, "limit": limits.max_file_bytes},
        )


async def read_form(
    content_type: str | None, chunks: AsyncIterable[bytes], limits: FormLimits
) -> UploadForm:
    """The form in a request's body; besides `file` it may have the text fields of an image.

    Raises UnsupportedMediaType, MalformedBody, ValidationFailed, FileTooLarge, and what
    `chunks` raises. The Content-Type may lack the boundary: it is then taken from the
    body's first line.
    """
    declared = _declared_boundary(content_type)
    parts = FormParts(limits)
    opening, reader = b"", None
    async for chunk in chunks:
        if reader is None:
            opening += chunk
            found = _open(opening, declared)
            if found is None:
                continue
            boundary, chunk = found  # noqa: PLW2901 # what is left of it
            reader = _Reader(boundary, parts, limits)
        reader.feed(chunk)
    if reader is None and not _may_open(opening, declared):
        raise _not_opened()
    if not parts.complete:
        raise MalformedBody(f"The body ends before the form's closing boundary; {_REPAIR}.")
    return parts.form()


def tags_from(fields: Mapping[str, list[str]]) -> list[str]:
    """Tags from repeated `tags` and `tags[]`, or from one text that is a JSON array.

    Empty texts mean not given. Raises FieldError for an array that is none, or not of texts.
    """
    sent = [*fields.get("tags", ()), *fields.get("tags[]", ())]
    given = [text for text in sent if not is_blank(text)]
    if len(given) == 1 and given[0].lstrip(_LEAD).startswith("["):
        return _json_tags(given[0].lstrip(_LEAD))
    return given


def _json_tags(text: str) -> list[str]:
    try:
        tags = read_json(text)
    except ValueError:
        tags = None
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise FieldError(
            'begins with "[" but is no JSON array of texts; write ["one", "two"], '
            "or send each tag as a part of its own"
        )
    return tags


def _open(body: bytes, declared: bytes | None) -> tuple[bytes, bytes] | None:
    """The boundary, and the body from its first line on; None until that line is whole.

    There may be a preamble, and blanks after a boundary (RFC 2046, section 5.1.1). Where
    none is `declared`, the first line must be it.
    """
    before, line, other = rb"[\r\n]*", rb"--([ -~]{0,69}[!-~])()", rb"[^\r\n]"
    if declared is not None:
        before, other = rb"(?:(?!--)[^\n]*\n)*", rb"--"
        line = rb"--(" + re.escape(declared) + rb")(--)?"
    window = body[: _MAX_OPENING_BYTES + 2]
    if found := re.match(before + line + rb"[ \t]*\r\n", window):
        return found[1], b"--%s%s\r\n%s" % (found[1], found[2] or b"", body[found.end() :])
    if len(body) > _MAX_OPENING_BYTES + 1 or re.match(before + other + rb"[^\n]*\n", window):
        raise _not_opened()
    return None


def _may_open(body: bytes, declared: bytes | None) -> bool:
    """Returns whether all there is may be the beginning of the boundary's line."""
    line, opening = body.lstrip(b"\r\n"), b"--" + (declared or b"")
    return opening.startswith(line) or line.startswith(opening)


class _Reader:
    """Drives the parser; counts what is neither file nor text.

    The headers of a part are given to the parser whole and unfolded: senders may break lines
    in them (RFC 5322, section 2.2.3), which it refuses like all that is no header.
    """

    def __init__(self, boundary: bytes, parts: FormParts, limits: FormLimits) -> None:
        self._parts = parts
        self._limits = limits
        self._delimiter = b"\r\n--" + boundary
        self._in_line = True  # of a delimiter: headers may begin after it
        self._tail = b""  # the last bytes given to the parser; a delimiter may begin in them
        self._headers = b""
        self._received = 0
        self._delimiters = 0
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": parts.begin,
                "on_part_data": parts.data,
                "on_part_end": parts.end,
                "on_end": parts.all_ended,
            },
            # Bounded here instead, where the response can say what was measured.
            max_header_count=limits.max_part_header_bytes,
            max_header_size=limits.max_part_header_bytes,
        )

    def feed(self, piece: bytes) -> None:
        self._received += len(piece)
        try:
            while piece:
                step = self._feed_headers if self._parts.in_headers else self._feed_content
                piece = step(piece)
        except FormParserError as error:
            raise MalformedBody(f"The multipart body can't be read; {_REPAIR}.") from error
        framing, limit = self._received - self._parts.data_bytes, self._limits.max_framing_bytes
        if framing > limit:
            raise MalformedBody(
                f"The form has more than {limit:,} bytes, the limit, around and between the "
                "contents of its parts; send fewer or shorter part headers.",
                details={"measured": framing, "limit": limit},
            )

    def _feed_headers(self, piece: bytes) -> bytes:
        """Returns what of `piece` comes after the headers of a part."""
        self._headers += piece
        found = _HEADERS_END.search(self._headers)
        self._parts.check_header_bytes(found.end() if found else len(self._headers))
        if not found:
            return b""
        headers, rest = self._headers[: found.end()], self._headers[found.end() :]
        self._headers = self._tail = b""
        headers = _FOLD.sub(b"", headers)
        self._parser.write(headers)
        self._parts.headers(headers)
        return rest

    def _feed_content(self, piece: bytes) -> bytes:
        """Returns what of `piece` comes after the next delimiter, or after its line."""
        window = self._tail + piece
        sought, start = (b"\n", len(self._tail)) if self._in_line else (self._delimiter, 0)
        at = window.find(sought, start)
        end = at + len(sought) if at >= 0 else len(window)
        if at >= 0:
            self._in_line = not self._in_line
            self._delimiters += self._in_line
            # A part must not contain its delimiter (RFC 2046, section 5.1.1). The parser leaves
            # its fast path for each: a file made of them would take 13 ms for every 64 KiB.
            if self._delimiters > self._limits.max_parts:
                raise too_many_parts(self._limits)
        self._parser.write(window[len(self._tail) : end])
        self._tail = window[max(0, end + 1 - len(self._delimiter)) : end]
        return window[end:]


def _declared_boundary(content_type: str | None) -> bytes | None:
    """The boundary of the header; None where it names none."""
    raw = (content_type or "").encode("latin-1", "replace")
    media_type = raw.partition(b";")[0].strip(b" \t").lower()
    if media_type != b"multipart/form-data":
        raise UnsupportedMediaType(
            f"The request's Content-Type is {shown(media_type) or 'not given'}; "
            "send the picture as multipart/form-data."
        )
    try:
        boundary = parse_header(raw)[1].get("boundary") or None
    except ValueError:
        raise MalformedBody("The Content-Type header can't be read; " + _REPAIR) from None
    if boundary is not None and not _BOUNDARY.fullmatch(boundary):
        raise MalformedBody(
            f"The boundary has {len(boundary)} characters; it needs 1 to 70, visible ASCII."
        )
    return boundary


def _not_opened() -> MalformedBody:
    return MalformedBody(f"The body does not begin with the form's boundary; {_REPAIR}.")
