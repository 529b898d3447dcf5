"""Character sets that clients declare, read by Python's codecs."""

from __future__ import annotations

import codecs
import encodings
import re
from encodings.aliases import aliases
from pkgutil import iter_modules
from typing import Final

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,39}")
# Python keeps each label that it was asked for, known or not, for as long as it runs.
_KNOWN: Final = frozenset(aliases) | {module.name for module in iter_modules(encodings.__path__)}
# No character sets, though `codecs` has them; some take time by the square of the length.
_NOT_FOR_TEXT: Final = frozenset(
    {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "charmap", "undefined", "mbcs"}
)
# What programs that write the label send (Encoding Standard, section 4.2).
_MEANT: Final = {"iso8859-1": "cp1252", "ascii": "utf-8"}


def decode(raw: bytes, label: str) -> str:
    """Raises LookupError for a character set there is not, UnicodeDecodeError for other bytes."""
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
