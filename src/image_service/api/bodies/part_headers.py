"""Headers of the form `value; name=parameter`, and the file names in them.

Written for what clients send, not for the grammar: browsers put file names in raw UTF-8,
escape a quote as `%22` and leave a backslash alone (HTML standard, "Multipart form data"),
curl escapes both with a backslash, others add `filename*` of RFC 5987, write words of RFC 2047
or percent-encode the whole name. The parser of python_multipart is not enough here: it drops
`filename*`, and of a parameter that comes twice it takes the last.
"""

from __future__ import annotations

import codecs
import encodings
import re
from collections.abc import Mapping
from contextlib import suppress
from email.errors import HeaderParseError
from email.header import decode_header
from email.utils import decode_params, unquote
from encodings.aliases import aliases
from pkgutil import iter_modules
from typing import Final
from urllib.parse import unquote_to_bytes

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = re.compile(
    rb";[ \t]*(?P<name>" + _TOKEN + rb")[ \t]*=[ \t]*"
    rb'(?:"(?P<quoted>(?:\\.|[^"\\])*)"[ \t]*(?=;|$)|(?P<plain>[^;]*))',
    re.DOTALL,
)
_ESCAPED = re.compile(rb'\\(["\\])')
# What encoders of URLs leave alone (RFC 3986, section 2), and at least one escape.
_PERCENT_ENCODED = re.compile(r"(?=.*%)(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?#\[\]]|%[0-9A-Fa-f]{2})+")
# A piece of `filename*` (RFC 2231, section 3): `filename*0*`, `filename*1`.
_PIECE = re.compile(r"filename\*[0-9]{1,3}\*?")
_MAX_WORDS: Final = 1536  # characters; 255 of three bytes take 1,240; the decoder takes its square
_BROWSER_ESCAPES = re.compile(r"%(22|0D|0A)", re.IGNORECASE)
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,39}")
# Python keeps each label that it was asked for, known or not, for as long as it runs.
_KNOWN: Final = frozenset(aliases) | {module.name for module in iter_modules(encodings.__path__)}
# No character sets, though `codecs` has them; some take time by the square of the length.
_NOT_FOR_TEXT: Final = frozenset(
    {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "charmap", "undefined", "mbcs"}
)
# What programs that write the label send (Encoding Standard, section 4.2).
_MEANT: Final = {"iso8859-1": "cp1252", "ascii": "utf-8"}


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
    """The file's name as the client meant it, uncleaned; None where it gave none.

    What doesn't decode stays as it was sent.
    """
    extended = _extended(parameters)
    plain = parameters.get("filename")
    if extended is not None or plain is None:
        return extended
    text = _text(plain)
    for decoded in (_words(text), _percent_decoded(text)):
        if decoded is not None:
            return decoded
    return _BROWSER_ESCAPES.sub(lambda match: chr(int(match[1], 16)), text)


def _extended(parameters: Mapping[str, bytes]) -> str | None:
    """`filename*=UTF-8'en'na%C3%AFve` (RFC 5987, section 3.2), in pieces too (RFC 2231)."""
    # `decode_params` can't sort a name that comes whole and in pieces: whole is preferred.
    marked = [(n, raw.decode("latin-1")) for n, raw in parameters.items() if n == "filename*"] or [
        (n, raw.decode("latin-1")) for n, raw in parameters.items() if _PIECE.fullmatch(n)
    ]
    for _, value in decode_params([("", ""), *marked])[1:]:
        charset, _language, quoted = value if isinstance(value, tuple) else (None, None, value)
        if charset:
            # Some senders quote what is within, too.
            with suppress(UnicodeError, LookupError):
                return decode_as(unquote(quoted).strip('"').encode("latin-1"), charset)
    return None


def _words(text: str) -> str | None:
    """`=?UTF-8?Q?na=C3=AFve?=` (RFC 2047)."""
    if "=?" not in text or len(text) > _MAX_WORDS:
        return None
    with suppress(HeaderParseError, UnicodeError, LookupError):
        words = decode_header(text)
        if any(charset for _, charset in words):
            return "".join(
                decode_as(word, charset) if charset else word.decode("raw-unicode-escape")
                for word, charset in words
            )
    return None


def _percent_decoded(text: str) -> str | None:
    if _PERCENT_ENCODED.fullmatch(text):
        with suppress(UnicodeDecodeError):
            return unquote_to_bytes(text).decode()
    return None


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:  # an old client; its name is no reason to refuse a picture
        return decode_as(raw, "latin-1")


def decode_as(raw: bytes, label: str) -> str:
    """Decode by a character set that a client declares, with Python's codecs.

    Raises LookupError for a character set there is not, UnicodeDecodeError for other bytes.
    """
    if not _LABEL.fullmatch(label):
        raise LookupError(label)
    known = encodings.normalize_encoding(label.lower()).replace(".", "_")
    if known not in _KNOWN:
        raise LookupError(label)
    name = codecs.lookup(known).name
    if name.replace("-", "_") in _NOT_FOR_TEXT:
        raise LookupError(label)
    try:
        return raw.decode(_MEANT.get(name, name))
    except UnicodeDecodeError:
        return raw.decode(name)
