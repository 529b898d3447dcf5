"""Rules for what users write: titles, tags, album ids, file names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

import regex

MAX_SHORT_TEXT: Final = 255  # title, altText, originalFilename; characters
MAX_DESCRIPTION: Final = 5_000
MAX_TAGS: Final = 20
MAX_TAG: Final = 50
MAX_ALBUM_ID: Final = 64

_ALBUM_ID = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_ALBUM_ID}}}")
# CR LF, VT, FF, NEL, LS, PS and the four separators of ASCII. Deleting one joins two words.
_BREAKS = r"\n\v\f\r\x1c-\x1f\x85\u2028\u2029"
_LINE_BREAK = re.compile(rf"\r\n|[{_BREAKS}]")
_GAP = re.compile(rf"(?<! ) *+[\t{_BREAKS}][ \t{_BREAKS}]*+")
# Controls, half characters and the byte-order mark; and what reorders what a reader sees
# ("gpj.exe" shown as "exe.jpg"), which no name needs.
_DROPPED = re.compile(
    r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufeff]+"
)
_INVISIBLE = regex.compile(r"\p{Default_Ignorable_Code_Point}+")
_UNSEEN = r"\s\p{Cc}\p{Cs}\p{Default_Ignorable_Code_Point}\u2800"
_VISIBLE = regex.compile(rf"[^{_UNSEEN}]")
_UNSEEN_ENDS = regex.compile(rf"\A[{_UNSEEN}]++|(?<![{_UNSEEN}])[{_UNSEEN}]++\Z")
# Normalizing takes time by the square of a run of accents. UAX 15 calls 30 more than any
# language needs; a run of 60 or less is left alone, because composing can make 60 of 30.
_ACCENTS = regex.compile(r"(?<!\P{ccc=0})(\P{ccc=0}{30})\P{ccc=0}{31,}+")
_CHARACTER = regex.compile(r"\X")  # as a reader counts them: an emoji of seven code points is one
_MAX_EXTENSION = 10
_MAX_GIVEN_TAGS = 200  # equal ones count once, but are not looked at without end


class FieldError(ValueError):
    """A field breaks its rule; the text says what was measured, the limit and the remedy."""


def clean_text(text: str | None, *, limit: int, keep_newlines: bool = False) -> str | None:
    """`text` in NFC, of one line unless `keep_newlines`; None where nothing of it is visible.

    Raises FieldError where more than `limit` characters remain.
    """
    cleaned = _clean(text or "", keep_newlines=keep_newlines)
    if len(cleaned) > limit:
        raise FieldError(f"has {len(cleaned)} characters; the limit is {limit}, shorten it")
    return cleaned or None


def is_blank(text: str) -> bool:
    """Returns whether nothing of it is visible; such a text counts as not given."""
    return not _VISIBLE.search(text)


def clean_album_id(text: str | None) -> str | None:
    """`text` without what surrounds it unseen, as copying adds it; None where nothing is visible.

    Raises FieldError unless 1 to 64 of `A-Z a-z 0-9 _ -` remain.
    """
    if not text or is_blank(text):
        return None
    album_id = _UNSEEN_ENDS.sub("", text)
    if not _ALBUM_ID.fullmatch(album_id):
        raise FieldError(
            f"must be 1 to {MAX_ALBUM_ID} letters (A-Z, a-z), digits, '_' or '-'; "
            f"got {len(album_id)} characters"
        )
    return album_id


def clean_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Tags as `clean_text` has them, without those equal to an earlier one; order is kept.

    Raises FieldError for an empty or over-long tag, or more than 20 of them.
    """
    given = list(tags)
    if len(given) > _MAX_GIVEN_TAGS:
        raise FieldError(f"has {len(given)} tags; the limit is {MAX_TAGS}, drop some")
    kept: dict[str, str] = {}
    for position, tag in enumerate(map(_clean, given), start=1):
        if not tag:
            raise FieldError(f"tag {position} has no visible character; leave it out")
        if len(tag) > MAX_TAG:
            raise FieldError(
                f"tag {position} has {len(tag)} characters; the limit is {MAX_TAG}, shorten it"
            )
        kept.setdefault(tag_key(tag), tag)
    if len(kept) > MAX_TAGS:
        raise FieldError(f"has {len(kept)} different tags; the limit is {MAX_TAGS}, drop some")
    return tuple(kept.values())


def tag_key(tag: str) -> str:
    """Returns what two tags are compared by: those that look alike, but for case, have the same.

    Without what is invisible, white space folded, NFC, casefolded, NFC again (folding can
    undo it). Keys are stored; docs/adr/0018-tag-keys.md says what a change of this takes.
    """
    if not tag.isascii():
        tag = unicodedata.normalize("NFC", _INVISIBLE.sub("", tag))
        tag = unicodedata.normalize("NFC", tag.casefold())
    return " ".join(tag.casefold().split())


def clean_filename(name: str | None) -> str | None:
    """A display name: the last path part in NFC, cut to 255 characters. None where it has none.

    The cut falls between characters as a reader counts them, and leaves the extension (up to
    10 characters).
    """
    last = _clean(re.split(r"[\\/]", _clean(name or ""))[-1])
    if last in {"", ".", ".."}:
        return None
    if len(last) <= MAX_SHORT_TEXT:
        return last
    stem, dot, extension = last.rpartition(".")
    if not stem or len(extension) > _MAX_EXTENSION:
        return _cut(last, MAX_SHORT_TEXT)
    return _cut(stem, MAX_SHORT_TEXT - len(extension) - 1) + dot + extension


def _clean(text: str, *, keep_newlines: bool = False) -> str:
    """NFC without controls and outer white space; empty where nothing of it is visible."""
    text = _DROPPED.sub("", text)
    text = _LINE_BREAK.sub("\n", text) if keep_newlines else _GAP.sub(" ", text)
    text = unicodedata.normalize("NFC", _ACCENTS.sub(r"\1", text)).strip()
    return "" if is_blank(text) else text


def _cut(text: str, limit: int) -> str:
    end = 0
    for character in _CHARACTER.finditer(text):
        if character.end() > limit:
            break
        end = character.end()
    return text[: end or limit].rstrip()  # a first one that is longer than all is cut through
