from __future__ import annotations

from email.header import Header

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import cpu

from image_service.api.bodies.part_headers import filename, parse_header


def name_of(parameters: str | bytes) -> str | None:
    raw = parameters.encode() if isinstance(parameters, str) else parameters
    return filename(parse_header(b'form-data; name="file"; ' + raw)[1])


@pytest.mark.parametrize(
    ("raw", "value", "parameters"),
    [
        (b"", "", {}),
        (b"form-data", "form-data", {}),
        (b"Form-Data ; NAME=file ;", "form-data", {"name": b"file"}),
        (b'form-data;name="a;b=c"; x="1"', "form-data", {"name": b"a;b=c", "x": b"1"}),
        (b'form-data; name=""', "form-data", {"name": b""}),
        (b"form-data; name=", "form-data", {"name": b""}),
        (
            b'm/f; boundary = "a b" ; charset=UTF-8',
            "m/f",
            {"boundary": b"a b", "charset": b"UTF-8"},
        ),
        (b"m/f; boundary=a/b:c=d", "m/f", {"boundary": b"a/b:c=d"}),
    ],
)
def test_reads(raw: bytes, value: str, parameters: dict[str, bytes]) -> None:
    assert parse_header(raw) == (value, parameters)


@pytest.mark.parametrize(
    "raw",
    [
        b'form-data; name="file',
        b'form-data; name="',
        b'form-data; name="a"b',
        b"form-data; name",
        b"form-data; =x",
        b"form-data; name=a; name=b",
        b'form-data; name="file"; NAME="title"',
        b"form-data; na me=x",
        b"form-data; n\xc3\xa4me=x",
    ],
)
def test_refuses(raw: bytes) -> None:
    with pytest.raises(ValueError):
        parse_header(raw)


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("", None),
        ('filename=""', ""),
        ("filename=castle.png", "castle.png"),
        ('filename="castle.png"', "castle.png"),
        ('filename="Schloß 城 🏰.png"', "Schloß 城 🏰.png"),  # as browsers send it
        ('filename="a;b.png"', "a;b.png"),
        ('filename="say %22hi%22.png"', 'say "hi".png'),  # Chromium, Firefox, Safari
        ('filename="say \\"hi\\".png"', 'say "hi".png'),  # curl
        ('filename="back\\\\slash.png"', "back\\slash.png"),  # curl
        ('filename="C:\\temp\\new.png"', "C:\\temp\\new.png"),
        ('filename="folder\\"', "folder\\"),
        ('filename="50%25 %2F %00.png"', "50%25 %2F %00.png"),  # browsers leave "%" alone
        ('filename="a%0D%0aX-Evil: 1"', "a\r\nX-Evil: 1"),
        ("filename=\"x.png\"; filename*=UTF-8''na%C3%AFve.png", "naïve.png"),
        ("filename*=utf-8'en'%E2%82%AC.png; filename=e.png", "€.png"),
        ("filename*=ISO-8859-1''%A3.png", "£.png"),
        ("filename=\"x.png\"; filename*=UTF-8''%FF.png", "x.png"),
        ("filename=\"x.png\"; filename*=KOI8-R''%A3.png", "ё.png"),
        ("filename=\"x.png\"; filename*=x-klingon''%A3.png", "x.png"),
        ("filename=\"x.png\"; filename*=idna''%A3.png", "x.png"),
        ("filename*=UTF-8''a.png; filename*0*=UTF-8''b.png", "a.png"),
        ("filename*0=b.png; filename*=UTF-8''a.png; filename=c.png", "a.png"),
        (f"filename*{'9' * 5000}*=UTF-8''a.png; filename=x.png", "x.png"),
        ("filename**=UTF-8''a.png; filename*x=a.png; filename=x.png", "x.png"),
        ("filename*=UTF-8''\"%c2%a3%20rates.png\"", "£ rates.png"),
        ("filename*=\"UTF-8''%c2%a3%20rates.png\"", "£ rates.png"),
        ("filename*=UTF-8''naïve.png", "naïve.png"),
        ("filename*0*=UTF-8''na%C3%AF; filename*1*=ve%20; filename*2=\"b;c.png\"", "naïve b;c.png"),
        ("filename*1=b.png; filename=a.png", "a.png"),
        ("filename*x=b.png; filename=a.png", "a.png"),
        ('filename="=?utf-8?B?U3XDnmUuanBn?="', "SuÞe.jpg"),  # Java Mail, .NET
        ('filename="=?UTF-8?Q?Stra=C3=9Fe_1.jpg?="', "Straße 1.jpg"),
        ('filename="=?utf-8?q?Stra=C3?= =?utf-8?q?=9Fe?=.jpg"', "Straße.jpg"),
        ('filename="a =?iso-8859-1?q?=E9?= b.png"', "a é b.png"),
        ('filename="=?utf-8?B?w?=.png"', "=?utf-8?B?w?=.png"),
        ('filename="=?utf-8?q?=FF?=.png"', "=?utf-8?q?=FF?=.png"),
        ('filename="=?x-klingon?q?=E9?=.png"', "=?x-klingon?q?=E9?=.png"),
        ('filename="=?=.png"', "=?=.png"),
        ('filename="%E5%9F%8E%20%281%29.png"', "城 (1).png"),  # encodeURIComponent
        ('filename="%E5%9F%8E(1)+2.png"', "城(1)+2.png"),  # encodeURI
        ('filename="%FF.png"', "%FF.png"),
        ('filename="100%.png"', "100%.png"),
        ('filename="%E5%9F%8E 1.png"', "%E5%9F%8E 1.png"),  # not the whole name
        ('filename="x.png"; filename*=nonsense', "x.png"),
        ('filename="x.png"; filename*=UTF-8\'y.png', "x.png"),
        (b'filename="caf\xe9 \x96.png"', "café \N{EN DASH}.png"),  # Windows
    ],
)
def test_file_names(sent: str | bytes, meant: str | None) -> None:
    assert name_of(sent) == meant


@given(st.text(st.characters(exclude_characters='\r\n"%\\', exclude_categories=["Cs"])))
def test_a_browsers_name_arrives_as_it_was(name: str) -> None:
    assert name_of(f'filename="{name}"') == name


@given(
    st.binary()
    | st.lists(
        st.sampled_from(
            [
                b"filename",
                b"*",
                b"0",
                b"*=",
                b"''",
                b"=?",
                b"utf-8",
                b"?q?",
                b"?=",
                b"%41",
                b"%FF",
                b"; ",
                b'"',
                b"x",
            ]
        )
    ).map(b"".join)
    | st.lists(st.sampled_from([b";", b'"', b"\\", b"=", b"a", b" ", b"\xff"])).map(b"".join)
)
def test_nothing_but_a_value_error(raw: bytes) -> None:
    try:
        _, parameters = parse_header(b"form-data;" + raw)
        filename(parameters)
    except ValueError:
        pass


@pytest.mark.parametrize("part", [b'a="', b';a="\\', b";a=\\", b'"\\"', b";a", b"; ", b';a="" '])
def test_long_headers_are_read_in_good_time(part: bytes) -> None:
    with cpu.at_most(5):
        for _ in range(20):
            try:
                parse_header(b'x;n="' + part * (8192 // len(part)))
                parse_header(b"x" + part * (8192 // len(part)))
            except ValueError:
                pass


@pytest.mark.parametrize(
    "part", ["=?a?q?", "=?a?q?b", "=?a?q?b?= ", "%41", "%4", "=?utf-8?b?", "?="]
)
def test_long_names_are_read_in_good_time(part: str) -> None:
    with cpu.at_most(5):
        for _ in range(20):
            name_of(f'filename="{part * (8000 // len(part))}"')
            name_of("; ".join(f"filename*{number}*={part}" for number in range(400)))


def test_the_longest_name_fits_its_words() -> None:
    name = "城" * 251 + ".png"
    words = Header(name, "utf-8").encode(linesep="")
    assert name_of(f'filename="{words}"') == name
