from __future__ import annotations

import contextlib
import unicodedata
from functools import partial

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests import cpu

from image_service.domain.fields import (
    FieldError,
    clean_album_id,
    clean_filename,
    clean_tags,
    clean_text,
    is_blank,
    tag_key,
)

CONTROLS = "\0\x07\x1b\x7f\x80\u202e\u2066\ud800\udc00\ufeff"
SEPARATORS = ("\n", "\r\n", "\r", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x1f", "\x85", "\u2028",
    "\u2029")  # fmt: skip
INVISIBLE = ("", "  ", "\t", *SEPARATORS, "\u200b\u200b", "\ufeff", "\u2060", "\u00ad", "\u200d",
    "\ufe0f", "\u3164", "\u115f", "\u2800", "\u00a0", "\u3000", "\U000e0041", CONTROLS)  # fmt: skip
DROPPED = {"Cc", "Cs", "Zl", "Zp"}
LETTER = "\N{LATIN SMALL LETTER O WITH CIRCUMFLEX AND DOT BELOW}"
FAMILY = "\N{MAN}\N{ZERO WIDTH JOINER}\N{WOMAN}\N{ZERO WIDTH JOINER}\N{GIRL}"
texts = st.text(st.characters()) | st.text(
    st.sampled_from([*"a .e\t\0", *"".join(SEPARATORS), "\u0301", "\u0323", "\u0344", "\u200d",
        "\u200b", "\u00a0", "\u2000", "\u1100", "\u1161", "\u11a8", "\u09c7", "\u09be", "\u0345"])
)  # fmt: skip


def is_clean(text: str, keep: str = "") -> bool:
    return not any(
        unicodedata.category(c) in DROPPED
        or 0x202A <= ord(c) <= 0x202E
        or 0x2066 <= ord(c) <= 0x2069
        for c in text
        if c not in keep
    )


class TestText:
    @pytest.mark.parametrize("text", [None, *INVISIBLE])
    def test_nothing_visible_is_none(self, text: str | None) -> None:
        assert clean_text(text, limit=10) is None
        assert clean_text(text, limit=10, keep_newlines=True) is None
        assert clean_filename(text) is None
        assert is_blank(text or "")
        if text is not None:
            with pytest.raises(FieldError, match="tag 1 has no visible character; leave it out"):
                clean_tags([text])

    @pytest.mark.parametrize("text", ["a", ".", "\u0301", "\u200b-", "\u0600", "\ue000"])
    def test_what_is_visible_stays(self, text: str) -> None:
        assert clean_text(text, limit=10) == text
        assert not is_blank(text)

    def test_controls_and_outer_space_go(self) -> None:
        assert clean_text(f" {CONTROLS}Cas{CONTROLS}tle \n", limit=10) == "Castle"

    @pytest.mark.parametrize("between", [*SEPARATORS, "\t", "\n\n", "\r\n\r\n", " \n ", "\t \0\n"])
    def test_words_stay_apart(self, between: str) -> None:
        text = f"{between}Red{between}castle{between}"
        assert clean_text(text, limit=10) == "Red castle"
        assert clean_tags([text]) == ("Red castle",)
        assert clean_filename(text + ".png") == "Red castle .png"

    @pytest.mark.parametrize("between", SEPARATORS)
    def test_a_description_keeps_its_lines(self, between: str) -> None:
        text = f"{between}one{between}{between}\ttwo\0{between}"
        assert clean_text(text, limit=20, keep_newlines=True) == "one\n\n\ttwo"

    def test_what_joins_characters_stays(self) -> None:
        assert clean_text(FAMILY, limit=10) == FAMILY

    @pytest.mark.parametrize("form", ["NFC", "NFD"])
    def test_the_limit_counts_what_is_kept(self, form: str) -> None:
        ten = unicodedata.normalize(form, LETTER * 10)
        assert clean_text(f"  {ten}{CONTROLS}", limit=10) == LETTER * 10
        with pytest.raises(FieldError, match="has 11 characters; the limit is 10, shorten it"):
            clean_text(f"{ten}x", limit=10)
        # A control between a letter and its accent keeps them apart until it is gone.
        assert clean_text("e\0\u0301", limit=1) == "é"

    def test_no_language_needs_more_accents(self) -> None:
        assert clean_text("a" + "\u0301" * 60, limit=99) == "á" + "\u0301" * 59
        assert clean_text("a" + "\u0301" * 61 + "b", limit=99) == "á" + "\u0301" * 29 + "b"

    @pytest.mark.parametrize(
        "unit", ["\u0315\u0300", " ", "\n\x07", "\u0344", "\u200d", "\t ", "é\u200b"]
    )
    def test_a_long_text_is_cleaned_in_good_time(self, unit: str) -> None:
        """Runs of accents would take minutes: the time goes by the square of their length."""
        text = f"a{unit * 200_000}\nb"
        with cpu.at_most(10):
            for clean in (clean_text, partial(clean_text, keep_newlines=True)):
                with contextlib.suppress(FieldError):
                    clean(text, limit=10)
            with contextlib.suppress(FieldError):
                clean_tags([text])
            assert clean_filename(text)

    @given(texts, st.booleans())
    def test_is_clean_and_stays_so(self, text: str, keep: bool) -> None:
        cleaned = clean_text(text, limit=1000, keep_newlines=keep)
        if cleaned is None:
            assert is_blank(text)
            return
        assert cleaned == cleaned.strip() != ""
        assert unicodedata.is_normalized("NFC", cleaned)
        assert is_clean(cleaned, keep="\n\t" if keep else "")
        assert clean_text(cleaned, limit=1000, keep_newlines=keep) == cleaned
        cleaned.encode()

    @given(texts, st.sampled_from(["NFC", "NFD"]))
    def test_is_the_same_from_every_normal_form(self, text: str, form: str) -> None:
        assume(clean_text(text, limit=1000) is not None)
        assert clean_text(unicodedata.normalize(form, text), limit=1000) == clean_text(
            text, limit=1000
        )


class TestAlbumId:
    @pytest.mark.parametrize("text", [None, "", " ", "\ufeff", "\u200b\t\n", "\u2800"])
    def test_none(self, text: str | None) -> None:
        assert clean_album_id(text) is None

    @pytest.mark.parametrize(
        "edge", ["\ufeff", " ", "\u00a0", "\r\n", "\t", "\u200b", "\0", " \u200d "]
    )
    def test_what_surrounds_it_unseen_is_dropped(self, edge: str) -> None:
        for text in (edge + "castle-1", "castle-1" + edge, edge + "castle-1" + edge):
            assert clean_album_id(text) == "castle-1"
        assert clean_album_id(edge + "x" * 64 + edge) == "x" * 64

    def test_takes_linear_time(self) -> None:
        edge, long = "\u200b" * 50_000, "a\u200b" * 50_000
        assert clean_album_id(edge + "a" + edge) == "a"
        with pytest.raises(FieldError, match="got 99999 characters"):
            clean_album_id(long)

    @pytest.mark.parametrize("text", ["a", "A-Z_09", "x" * 64, "-", "_"])
    def test_accepts(self, text: str) -> None:
        assert clean_album_id(text) == text

    @pytest.mark.parametrize(
        "text", ["x" * 65, "a b", "a#b", "a/b", "..", "ä", "a\u200bb", "\N{FULLWIDTH DIGIT ONE}"]
    )
    def test_refuses(self, text: str) -> None:
        with pytest.raises(FieldError, match=rf"must be 1 to 64 .*; got {len(text)} characters"):
            clean_album_id(text)


class TestTags:
    def test_trimmed_composed_and_in_order(self) -> None:
        assert clean_tags([" moc ", "Cafe\N{COMBINING ACUTE ACCENT}", "a\0b"]) == (
            "moc",
            "Café",
            "ab",
        )
        assert clean_tags([]) == ()

    def test_the_first_spelling_of_equal_ones_stays(self) -> None:
        assert clean_tags(["LEGO", "moc", "lego", "Lego "]) == ("LEGO", "moc")
        assert clean_tags(["Straße", "STRASSE"]) == ("Straße",)
        assert clean_tags(["red\u00a0castle", "Red\u200b  castle"]) == ("red\u00a0castle",)

    def test_twenty_that_differ(self) -> None:
        twenty = [f"tag {n}" for n in range(20)]
        assert clean_tags([*twenty, *twenty]) == tuple(twenty)
        with pytest.raises(FieldError, match="has 21 different tags; the limit is 20, drop some"):
            clean_tags([*twenty, "one more"])

    def test_one_to_fifty_characters(self) -> None:
        assert clean_tags([LETTER * 50, unicodedata.normalize("NFD", LETTER * 49), " y" + " " * 60])
        with pytest.raises(FieldError, match="tag 2 has 51 characters; the limit is 50, shorten"):
            clean_tags(["fine", "x" * 51])

    @given(st.lists(texts.map(lambda text: text[:55]), max_size=25))
    def test_are_clean_and_stay_so(self, tags: list[str]) -> None:
        try:
            cleaned = clean_tags(tags)
        except FieldError:
            return
        assert clean_tags(cleaned) == cleaned
        assert len({tag_key(tag) for tag in cleaned}) == len(cleaned) <= 20
        assert {tag_key(tag) for tag in cleaned} == {
            tag_key(kept) for tag in tags for kept in clean_tags([tag])
        }
        for tag in cleaned:
            assert unicodedata.is_normalized("NFC", tag)
            assert is_clean(tag)


class TestTagKey:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("LEGO", "lego"),
            ("Straße", "STRASSE"),
            ("Café", "CAFE\N{COMBINING ACUTE ACCENT}"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος"),
            ("\N{KELVIN SIGN}", "k"),
            ("\N{ANGSTROM SIGN}", "å"),
            # Look-alikes
            *(("red castle", f"red{space}castle") for space in ("\u00a0", "\u3000", "\t", "  ")),
            *(
                ("lego", f"le{mark}go")
                for mark in ("\u200b", "\u00ad", "\u2060", "\ufeff", "\u180e")
            ),
            *(("lego", f"{mark}lego") for mark in ("\u200b", "\u200e", "\u00a0", "\u3164")),
            ("\N{HEAVY BLACK HEART}", "\N{HEAVY BLACK HEART}\ufe0f"),
            ("é", "e\u200b\u0301"),
        ],
    )
    def test_equal(self, one: str, other: str) -> None:
        assert tag_key(one) == tag_key(other)

    @pytest.mark.parametrize(
        ("one", "other"),
        [("a", "b"), ("cafe", "café"), ("i", "\N{LATIN SMALL LETTER DOTLESS I}"), ("a b", "ab")],
    )
    def test_different(self, one: str, other: str) -> None:
        assert tag_key(one) != tag_key(other)

    @given(texts)
    def test_is_the_same_for_every_normal_form(self, tag: str) -> None:
        for form in ("NFC", "NFD"):
            assert tag_key(unicodedata.normalize(form, tag)) == tag_key(tag)

    @given(texts)
    def test_a_key_is_its_own_key(self, tag: str) -> None:
        assert tag_key(tag_key(tag)) == tag_key(tag)


class TestFilename:
    @pytest.mark.parametrize(
        ("name", "cleaned"),
        [
            (None, None),
            ("", None),
            ("castle.png", "castle.png"),
            ("Schloß 城 🏰.png", "Schloß 城 🏰.png"),
            ("/home/alice/castle.png", "castle.png"),
            ("C:\\pictures\\castle.png", "castle.png"),
            ("../../etc/passwd", "passwd"),
            ("..", None),
            (".", None),
            ("a/..", None),
            ("folder/", None),
            ("a\\", None),
            (" castle.png ", "castle.png"),
            ("cas\r\ntle\0.png", "cas tle.png"),
            ("a/\u200b", None),
            ("\u200b.png", "\u200b.png"),
            (unicodedata.normalize("NFD", "Schloß Größe.png"), "Schloß Größe.png"),
            (unicodedata.normalize("NFD", LETTER * 251) + ".png", LETTER * 251 + ".png"),
            (unicodedata.normalize("NFD", LETTER * 256) + ".png", LETTER * 251 + ".png"),
            # An emoji of five code points, and a letter with an accent that NFC can't compose
            (FAMILY * 60 + ".jpeg", FAMILY * 50 + ".jpeg"),
            ("x" + FAMILY * 60 + ".jpeg", "x" + FAMILY * 49 + ".jpeg"),
            ("x\u0301" * 200, "x\u0301" * 127),
            (
                "\N{REGIONAL INDICATOR SYMBOL LETTER D}\N{REGIONAL INDICATOR SYMBOL LETTER E}"
                * 200,
                "\N{REGIONAL INDICATOR SYMBOL LETTER D}\N{REGIONAL INDICATOR SYMBOL LETTER E}"
                * 127,
            ),
            (
                "\N{ZERO WIDTH JOINER}".join(["\N{MAN}"] * 200),  # one of 399: cut through
                "\N{ZERO WIDTH JOINER}".join(["\N{MAN}"] * 128),
            ),
            ("gpj.\N{RIGHT-TO-LEFT OVERRIDE}exe", "gpj.exe"),
            (".\0.", None),
            ("a/\0", None),
            ("\ud800.png", ".png"),
            (".htaccess", ".htaccess"),
            ("x" * 255, "x" * 255),
            ("x" * 300, "x" * 255),
            ("x" * 300 + ".jpeg", "x" * 250 + ".jpeg"),
            ("x" * 251 + ".jpeg", "x" * 250 + ".jpeg"),
            ("x" * 300 + "." + "y" * 10, "x" * 244 + "." + "y" * 10),
            ("x" * 300 + "." + "y" * 11, "x" * 255),
            ("." + "x" * 300, "." + "x" * 254),
            ("x" * 254 + " " * 50 + "y", "x" * 254),
        ],
    )
    def test_names(self, name: str | None, cleaned: str | None) -> None:
        assert clean_filename(name) == cleaned

    @given(texts | st.text("./\\ a\0", max_size=20) | st.text("a. \u0301\u200d👩", min_size=250))
    def test_are_clean_and_stay_so(self, name: str) -> None:
        cleaned = clean_filename(name)
        if cleaned is not None:
            assert 1 <= len(cleaned) <= 255
            assert is_clean(cleaned)
            assert not set("/\\") & set(cleaned)
            assert cleaned not in {".", ".."}
            assert unicodedata.is_normalized("NFC", cleaned)
            assert clean_filename(cleaned) == cleaned

    @given(st.text("abc", min_size=256), st.from_regex(r"[a-z0-9]{1,10}", fullmatch=True))
    def test_the_extension_survives_the_cut(self, stem: str, extension: str) -> None:
        assume(stem)
        cleaned = clean_filename(f"{stem}.{extension}")
        assert cleaned is not None
        assert cleaned.endswith("." + extension)
        assert len(cleaned) == 255
