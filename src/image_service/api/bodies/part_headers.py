"""Headers of the form `value; name=parameter`, as multipart/form-data has them.

Written for what clients send, not for the grammar: browsers put file names in raw UTF-8,
escape a quote as `%22` and leave a backslash alone (HTML standard, "Multipart form data"),
curl escapes both with a backslash, others add `filename*` of RFC 5987.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = re.compile(
    rb";[ \t]*(?P<name>" + _TOKEN + rb")[ \t]*=[ \t]*"
    rb'(?:"(?P<quoted>(?:\\.|[^"\\])*)"[ \t]*(?=;|$)|(?P<plain>[^;]*))',
    re.DOTALL,
)
_ESCAPED = re.compile(rb'\\(["\\])')
_EXTENDED_CHARSETS: Final = {b"utf-8": "utf-8", b"iso-8859-1": "latin-1"}
_BROWSER_ESCAPES = re.compile(r"%(22|0D|0A)", re.IGNORECASE)


def parse_header(raw: bytes) -> tuple[str, Mapping[str, bytes]]:
    """`form-data; name="a"` as `("form-data", {"name": b"a"})`; names in lower case.

    Raises ValueError where it can't be read, or has a parameter twice: which of the two
    counts is what programs disagree on.
    """
    value, _, rest = raw.partition(b";")
    parameters: dict[str, bytes] = {}
    rest = b";" + rest
    while rest.strip(b" \t;"):
        match = _PARAMETER.match(rest)
        if match is None:
            raise ValueError("not a parameter")
        name = match["name"].decode("ascii").lower()
        if name in parameters:
            raise ValueError("a parameter comes twice")
        parameters[name] = _parameter_value(match)
        rest = rest[match.end() :]
    return value.strip(b" \t").decode("latin-1").lower(), parameters


def _parameter_value(match: re.Match[bytes]) -> bytes:
    quoted, plain = match["quoted"], match["plain"]
    if quoted is not None:
        # Only these two: the backslashes of `C:\temp` are meant.
        return _ESCAPED.sub(rb"\1", quoted)
    plain = plain.strip(b" \t")
    if not plain.startswith(b'"'):
        return plain
    # A name that ends in a backslash, which a browser doesn't escape: `"folder\"`.
    if len(plain) < 2 or not plain.endswith(b'"'):  # noqa: PLR2004  # two quotes
        raise ValueError("a quoted string has no end")
    return plain[1:-1]


def filename(parameters: Mapping[str, bytes]) -> str | None:
    """The file's name as the client meant it, uncleaned; None where it gave none."""
    extended = _extended_value(parameters.get("filename*", b""))
    if extended is not None:
        return extended
    plain = parameters.get("filename")
    if plain is None:
        return None
    return _BROWSER_ESCAPES.sub(lambda match: chr(int(match[1], 16)), _text(plain))


def _extended_value(raw: bytes) -> str | None:
    """`UTF-8'en'na%C3%AFve` (RFC 5987, section 3.2); None where it is nothing of the kind."""
    charset, _, rest = raw.partition(b"'")
    _language, quote, value = rest.partition(b"'")
    encoding = _EXTENDED_CHARSETS.get(charset.lower())
    if encoding is None or not quote:
        return None
    try:
        return unquote_to_bytes(value).decode(encoding)
    except UnicodeDecodeError:
        return None


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:  # an old client; its name is no reason to refuse a picture
        return raw.decode("latin-1")
