"""HTTP by hand, to send what no client library would."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

_PIECE_BYTES = 64 * 1024
_LENGTH = re.compile(rb"content-length: (\d+)")


@dataclass(frozen=True)
class Answer:
    status: int
    head: str
    body: bytes

    @property
    def code(self) -> str:
        code: str = self.json()["code"]
        return code

    def headers(self, name: str) -> list[str]:
        return re.findall(rf"^{name}: (.*?)\r?$", self.head, re.MULTILINE)

    def json(self) -> Any:
        return json.loads(self.body)


@contextmanager
def connection(host: str) -> Iterator[socket.socket]:
    """`host` is "name:port"."""
    name, _, port = host.rpartition(":")
    with socket.create_connection((name, int(port)), timeout=120) as made:
        yield made


def request_head(method: str, path: str, *headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def chunks(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), _PIECE_BYTES):
        piece = body[start : start + _PIECE_BYTES]
        yield b"%x\r\n%s\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


def receive(made: socket.socket) -> Answer:
    """The next answer, whole; a reset fails the test."""
    received = b""
    while part := made.recv(_PIECE_BYTES):
        received += part
        head, end, body = received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head.lower())
        if end and length and len(body) >= int(length[1]):
            break
    head, _, body = received.partition(b"\r\n\r\n")
    assert head, "closed without an answer"
    return Answer(int(head.split(b" ")[1]), head.decode("latin-1").lower(), body)


def exchange(host: str, *pieces: bytes) -> Answer:
    with connection(host) as made:
        for piece in pieces:
            made.sendall(piece)
        return receive(made)
