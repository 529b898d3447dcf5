"""The parts of an upload form as they come in, each held to its bounds."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from image_service.api.bodies.part_headers import decode_as, filename, parse_header
from image_service.domain.errors import FileTooLarge, MalformedBody, ValidationFailed

FILE: Final = "file"

_REPEATABLE: Final = ("tags", "tags[]")
_FIELDS: Final = (FILE, "albumId", "altText", "description", *_REPEATABLE, "title")

_SHOWN_CHARS: Final = 60
_IDENTITY_ENCODINGS: Final = frozenset({b"7bit", b"8bit", b"binary"})


@dataclass(frozen=True, slots=True, kw_only=True)
class FormLimits:
    """The limits of a form. All text fields at their own limits come to 37 KB."""

    max_file_bytes: int
    max_text_bytes: int = 64 * 1024
    max_parts: int = 64
    max_part_header_bytes: int = 8 * 1024
    max_framing_bytes: int = 64 * 1024

    @property
    def max_body_bytes(self) -> int:
        return self.max_file_bytes + self.max_text_bytes + self.max_framing_bytes


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file as received; `filename` is the client's, uncleaned; `sha256` in hex."""

    data: bytes
    filename: str | None
    sha256: str


@dataclass(frozen=True, slots=True)
class UploadForm:
    """`file` is None where it was not sent or has no bytes; `fields` by name, as sent.

    An empty file counts as not sent, with a name or without, because a browser sends an
    empty file input that way.
    """

    file: UploadedFile | None
    fields: Mapping[str, list[str]]


class FormParts:
    """Takes the parser's events, in the order of the body, and keeps what they bring."""

    def __init__(self, limits: FormLimits) -> None:
        self._limits = limits
        self._count = 0
        self._text_bytes = 0
        self._file = io.BytesIO()
        self._file_hash = hashlib.sha256()
        self._filename: str | None = None
        self._fields: dict[str, list[str]] = {}
        self._seen: set[str] = set()
        self.data_bytes = 0
        self.complete = False
        self.in_headers = False

    def form(self) -> UploadForm:
        data = self._file.getvalue()
        if not data:
            return UploadForm(None, self._fields)
        file = UploadedFile(data, self._filename, self._file_hash.hexdigest())
        return UploadForm(file, self._fields)

    def begin(self) -> None:
        self._count += 1
        if self._count > self._limits.max_parts:
            raise too_many_parts(self._limits)
        self._text = bytearray()
        self._headers: dict[bytes, bytes] = {}
        self.in_headers = True

    def headers(self, raw: bytes) -> None:
        """All of a part, well-formed, none over several lines, and the blank line after them."""
        self.in_headers = False
        for line in raw.split(b"\r\n")[:-2]:
            name, _, value = line.partition(b":")
            if (name := name.lower()) in self._headers:
                raise MalformedBody(f"A part has the header {shown(name)} twice; send it once.")
            self._headers[name] = value.strip(b" \t")
        self._refuse_transfer_encoding()
        parameters = self._disposition()
        self._name = parameters["name"].decode(errors="replace")
        self._admit(self._name)
        if self._name == FILE:
            self._filename = filename(parameters)

    def data(self, data: bytes, start: int, end: int) -> None:
        self.data_bytes += end - start
        if self._name == FILE:
            self._add_to_file(memoryview(data)[start:end])
        else:
            self._add_to_text(data[start:end])

    def end(self) -> None:
        if self._name != FILE:
            self._fields.setdefault(self._name, []).append(self._decoded())

    def _decoded(self) -> str:
        """The part's text, in the character set it declares, UTF-8 where it declares none."""
        try:
            declared = parse_header(self._headers.get(b"content-type", b""))[1].get("charset")
            label = declared.decode("latin-1") if declared else "UTF-8"
            return decode_as(bytes(self._text), label)
        except UnicodeDecodeError:
            error = f"is not {label}, its charset; encode it as UTF-8"
        except LookupError:
            error = f"has the charset {shown(declared or b'')}, unknown here; encode it as UTF-8"
        except ValueError:
            error = "has a Content-Type that can't be read; leave it out, and encode it as UTF-8"
        raise ValidationFailed([(self._name, error)])

    def all_ended(self) -> None:
        self.complete = True

    def _add_to_file(self, data: memoryview) -> None:
        limit = self._limits.max_file_bytes
        if self._file.tell() + len(data) > limit:
            raise FileTooLarge(
                f"The file has more than {size_text(limit)}, the limit. "
                "Reduce the picture and try again.",
                details={"measured": limit + 1, "limit": limit},  # counted no further
            )
        self._file.write(data)
        self._file_hash.update(data)

    def _add_to_text(self, data: bytes) -> None:
        limit = self._limits.max_text_bytes
        self._text_bytes += len(data)
        if self._text_bytes > limit:
            error = f"brings the form's text to over {limit:,} bytes, the limit; shorten it"
            raise ValidationFailed([(self._name, error)])
        self._text += data

    def check_header_bytes(self, count: int) -> None:
        limit = self._limits.max_part_header_bytes
        if count > limit:
            raise MalformedBody(
                f"The headers of part {self._count} have more than {limit:,} bytes, the limit; "
                "shorten them, the file's name for one.",
                details={"measured": limit + 1, "limit": limit},
            )

    def _refuse_transfer_encoding(self) -> None:
        encoding = self._headers.get(b"content-transfer-encoding", b"binary").lower()
        if encoding not in _IDENTITY_ENCODINGS:
            raise MalformedBody(
                f"Part {self._count} has the Content-Transfer-Encoding {shown(encoding)}; "
                "send its bytes as they are."
            )

    def _disposition(self) -> Mapping[str, bytes]:
        try:
            kind, parameters = parse_header(self._headers.get(b"content-disposition", b""))
        except ValueError:
            kind, parameters = "", {}
        if kind != "form-data" or "name" not in parameters:
            raise MalformedBody(
                f"Part {self._count} needs a header of the form "
                'Content-Disposition: form-data; name="..."'
            )
        return parameters

    def _admit(self, name: str) -> None:
        if name not in _FIELDS:
            error = f"is no field of this form; its fields are {', '.join(_FIELDS)}"
            raise ValidationFailed([(shown(name.encode()), error)])
        if name in self._seen and name not in _REPEATABLE:
            raise ValidationFailed([(name, "was sent more than once; send it once")])
        self._seen.add(name)


def too_many_parts(limits: FormLimits) -> MalformedBody:
    limit = limits.max_parts
    return MalformedBody(
        f"The form has more than {limit} parts, the limit; send fewer.",
        details={"measured": limit + 1, "limit": limit},
    )


def size_text(count: int) -> str:
    return f"{count:,} bytes ({count / 2**20:.4g} MiB)"


def shown(raw: bytes) -> str:
    """Safe to repeat in a response and a log line, and short."""
    text = raw[: 4 * _SHOWN_CHARS].decode(errors="replace")[:_SHOWN_CHARS]
    return "".join(character if character.isprintable() else "?" for character in text)
