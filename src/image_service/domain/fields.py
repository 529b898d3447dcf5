"""Rules for what users write: titles, tags, album ids, file names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

MAX_SHORT_TEXT: Final = 255  # title, altText, originalFilename; characters
MAX_DESCRIPTION: Final = 5_000
MAX_TAGS: Final = 20
MAX_TAG: Final = 50

_ALBUM_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
# They reorder what a reader sees ("gpj.exe" shown as "exe.jpg"), and no name needs them.
_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_DROPPED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
_MAX_EXTENSION = 10
_MAX_GIVEN_TAGS = 200  # equal ones count once, but are not looked at without end
_MAX_DECOMPOSED = 4  # characters that NFC makes one of


class FieldError(ValueError):
    """A field breaks its rule; the text says what was measured, the limit and the remedy."""


def clean_text(text: str | None, *, limit: int, keep_newlines: bool = False) -> str | None:
    """`text` without control characters and outer white space; None where nothing is left.

    Raises FieldError where more than `limit` characters remain.
    """
    if text is None:
        return None
    cleaned = _drop_controls(text, keep="\n\t" if keep_newlines else "").strip()
    if len(cleaned) > limit:
        raise FieldError(f"has {len(cleaned)} characters; the limit is {limit}, shorten it")
    return cleaned or None


def clean_album_id(text: str | None) -> str | None:
    """Raises FieldError unless empty or 1 to 64 of `A-Z a-z 0-9 _ -`."""
    if not text:
        return None
    if not _ALBUM_ID.fullmatch(text):
        raise FieldError(
            f"must be 1 to 64 letters (A-Z, a-z), digits, '_' or '-'; got {len(text)} characters"
        )
    return text


def clean_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Tags trimmed and in NFC, without those equal to an earlier one; order is kept.

    Raises FieldError for an empty or over-long tag, or more than 20 of them.
    """
    given = list(tags)
    if len(given) > _MAX_GIVEN_TAGS:
        raise FieldError(f"has {len(given)} tags; the limit is {MAX_TAGS}, drop some")
    kept: dict[str, str] = {}
    for position, raw in enumerate(given):
        tag = _drop_controls(raw).strip()
        # Normalizing takes time by the square of a run of accents: never of a long text.
        if len(tag) <= _MAX_DECOMPOSED * MAX_TAG:
            tag = unicodedata.normalize("NFC", tag).strip()
        if not 1 <= len(tag) <= MAX_TAG:
            raise FieldError(
                f"tag {position + 1} has {len(tag)} characters; each needs 1 to {MAX_TAG}"
            )
        kept.setdefault(tag_key(tag), tag)
    if len(kept) > MAX_TAGS:
        raise FieldError(f"has {len(kept)} different tags; the limit is {MAX_TAGS}, drop some")
    return tuple(kept.values())


def tag_key(tag: str) -> str:
    """What two tags are compared by: NFC, casefolded, NFC again (folding can undo it)."""
    folded = unicodedata.normalize("NFC", tag).casefold()
    return unicodedata.normalize("NFC", folded)


def clean_filename(name: str | None) -> str | None:
    """A display name: the last path part without control characters, cut to 255 characters.

    The extension (up to 10 characters) survives the cut. None where nothing is left.
    """
    if not name:
        return None
    last = re.split(r"[\\/]", _drop_controls(name))[-1].strip()
    if last in {"", ".", ".."}:
        return None
    if len(last) <= MAX_SHORT_TEXT:
        return last
    stem, dot, extension = last.rpartition(".")
    if not stem or len(extension) > _MAX_EXTENSION:
        return last[:MAX_SHORT_TEXT].rstrip()
    return stem[: MAX_SHORT_TEXT - len(extension) - 1] + dot + extension


def _drop_controls(text: str, keep: str = "") -> str:
    return "".join(
        character
        for character in text
        if character in keep
        or (
            unicodedata.category(character) not in _DROPPED_CATEGORIES
            and character not in _BIDI_CONTROLS
        )
    )
