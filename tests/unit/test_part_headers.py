from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
        ("filename=\"x.png\"; filename*=KOI8-R''%A3.png", "x.png"),
        ('filename="x.png"; filename*=nonsense', "x.png"),
        ('filename="x.png"; filename*=UTF-8\'y.png', "x.png"),
        (b'filename="caf\xe9.png"', "café.png"),  # not UTF-8
    ],
)
def test_file_names(sent: str | bytes, meant: str | None) -> None:
    assert name_of(sent) == meant


@given(st.text(st.characters(exclude_characters='\r\n"%\\', exclude_categories=["Cs"])))
def test_a_browsers_name_arrives_as_it_was(name: str) -> None:
    assert name_of(f'filename="{name}"') == name


@given(
    st.binary()
    | st.lists(st.sampled_from([b";", b'"', b"\\", b"=", b"a", b" ", b"\xff"])).map(b"".join)
)
def test_nothing_but_a_value_error(raw: bytes) -> None:
    try:
        _, parameters = parse_header(b"form-data;" + raw)
        filename(parameters)
    except ValueError:
        pass


@pytest.mark.timeout(5)
@pytest.mark.parametrize("part", [b'a="', b';a="\\', b";a=\\", b'"\\"', b";a", b"; ", b';a="" '])
def test_long_headers_are_read_in_good_time(part: bytes) -> None:
    for _ in range(20):
        try:
            parse_header(b'x;n="' + part * (8192 // len(part)))
            parse_header(b"x" + part * (8192 // len(part)))
        except ValueError:
            pass
