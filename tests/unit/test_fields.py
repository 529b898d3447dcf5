from __future__ import annotations

import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from image_service.domain.fields import (
    FieldError,
    clean_album_id,
    clean_filename,
    clean_tags,
    clean_text,
    tag_key,
)

CONTROLS = "\0\x07\x1b\x7f\x85\u2028\u2029\u202e\u2066\ud800"
DROPPED = {"Cc", "Cs", "Zl", "Zp"}


def is_clean(text: str, keep: str = "") -> bool:
    return not any(
        unicodedata.category(c) in DROPPED
        or 0x202A <= ord(c) <= 0x202E
        or 0x2066 <= ord(c) <= 0x2069
        for c in text
        if c not in keep
    )


class TestText:
    @pytest.mark.parametrize("text", [None, "", "  ", "\n\t", CONTROLS, " \0 "])
    def test_nothing_is_none(self, text: str | None) -> None:
        assert clean_text(text, limit=10) is None

    def test_controls_and_outer_space_go(self) -> None:
        assert clean_text(f" {CONTROLS}Cas{CONTROLS}tle \n", limit=10) == "Castle"
        assert clean_text("a\nb\tc", limit=10) == "abc"

    def test_line_breaks_stay_where_they_are_meant(self) -> None:
        text = "\n one\r\n\ttwo\0\n"
        assert clean_text(text, limit=20, keep_newlines=True) == "one\n\ttwo"

    def test_what_joins_characters_stays(self) -> None:
        family = "\N{MAN}\N{ZERO WIDTH JOINER}\N{WOMAN}\N{ZERO WIDTH JOINER}\N{GIRL}"
        assert clean_text(family, limit=10) == family

    def test_the_limit_counts_characters_that_are_kept(self) -> None:
        assert clean_text("  " + "ß" * 10 + CONTROLS, limit=10) == "ß" * 10
        with pytest.raises(FieldError, match="has 11 characters; the limit is 10, shorten it"):
            clean_text("ß" * 11, limit=10)

    @given(st.text(st.characters()), st.booleans())
    def test_is_clean_and_stays_so(self, text: str, keep: bool) -> None:
        cleaned = clean_text(text, limit=1000, keep_newlines=keep)
        if cleaned is not None:
            assert cleaned == cleaned.strip() != ""
            assert is_clean(cleaned, keep="\n\t" if keep else "")
            assert clean_text(cleaned, limit=1000, keep_newlines=keep) == cleaned
            cleaned.encode()


class TestAlbumId:
    @pytest.mark.parametrize("text", [None, ""])
    def test_none(self, text: str | None) -> None:
        assert clean_album_id(text) is None

    @pytest.mark.parametrize("text", ["a", "A-Z_09", "x" * 64, "-", "_"])
    def test_accepts(self, text: str) -> None:
        assert clean_album_id(text) == text

    @pytest.mark.parametrize(
        "text", ["x" * 65, "a b", "a#b", "a/b", "..", "ä", "a\n", " ", "\N{FULLWIDTH DIGIT ONE}"]
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

    @pytest.mark.timeout(10)
    def test_a_long_run_of_accents_is_not_normalized(self) -> None:
        """It would take minutes: the time goes by the square of its length."""
        run = "a" + "\N{COMBINING COMMA ABOVE RIGHT}\N{COMBINING GRAVE ACCENT}" * 200_000
        with pytest.raises(FieldError, match="tag 1 has 400001 characters"):
            clean_tags([run])
        fifty = "\N{GREEK SMALL LETTER ALPHA WITH PSILI AND VARIA AND YPOGEGRAMMENI}" * 50
        assert clean_tags([unicodedata.normalize("NFD", fifty)]) == (fifty,)

    def test_the_first_spelling_of_equal_ones_stays(self) -> None:
        assert clean_tags(["LEGO", "moc", "lego", "Lego "]) == ("LEGO", "moc")
        assert clean_tags(["Straße", "STRASSE"]) == ("Straße",)

    def test_twenty_that_differ(self) -> None:
        twenty = [f"tag {n}" for n in range(20)]
        assert clean_tags([*twenty, *twenty]) == tuple(twenty)
        with pytest.raises(FieldError, match="has 21 different tags; the limit is 20, drop some"):
            clean_tags([*twenty, "one more"])

    @pytest.mark.parametrize(("tag", "length"), [("", 0), (" \0", 0), ("x" * 51, 51)])
    def test_one_to_fifty_characters(self, tag: str, length: int) -> None:
        assert clean_tags(["x" * 50, " y" + " " * 60])
        with pytest.raises(FieldError, match=rf"tag 2 has {length} characters; each needs 1 to 50"):
            clean_tags(["fine", tag])

    @given(st.lists(st.text(st.characters(), max_size=55), max_size=25))
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

    @given(st.text(st.characters(exclude_categories=["Cs"])))
    def test_is_the_same_for_every_normal_form(self, tag: str) -> None:
        for form in ("NFC", "NFD"):
            assert tag_key(unicodedata.normalize(form, tag)) == tag_key(tag)

    @given(st.text())
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
            ("cas\r\ntle\0.png", "castle.png"),
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

    @given(
        st.text(st.characters()) | st.text("./\\ a\0", max_size=20) | st.text("a. ", min_size=250)
    )
    def test_are_clean_and_stay_so(self, name: str) -> None:
        cleaned = clean_filename(name)
        if cleaned is not None:
            assert 1 <= len(cleaned) <= 255
            assert is_clean(cleaned)
            assert not set("/\\") & set(cleaned)
            assert cleaned not in {".", ".."}
            assert clean_filename(cleaned) == cleaned

    @given(st.text("abc", min_size=256), st.from_regex(r"[a-z0-9]{1,10}", fullmatch=True))
    def test_the_extension_survives_the_cut(self, stem: str, extension: str) -> None:
        assume(stem)
        cleaned = clean_filename(f"{stem}.{extension}")
        assert cleaned is not None
        assert cleaned.endswith("." + extension)
        assert len(cleaned) == 255
