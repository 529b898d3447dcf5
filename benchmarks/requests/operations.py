"""The measured operations: their requests, ready to be sent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.requests import canned
from image_service.devstack.issuer import LocalIssuer

_TOKENS: Final = 64  # a session's requests share one; all are the same user's
_IDS: Final = 1_000
_BOUNDARY: Final = "7MA4YWxkTrZu0gW"
FORM_TYPE: Final = f"multipart/form-data; boundary={_BOUNDARY}"


@dataclass(frozen=True)
class Operation:
    """`status` is what every request must be answered with."""

    name: str
    method: str
    paths: Sequence[str]
    status: int
    body: bytes = b""
    content_type: str | None = None
    if_match: str | None = None
    cached: bool = False  # with Redis, which has it after the warm-up
    gzip: bool = False
    slow: bool = False  # encodes pictures: fewer at once, over a longer time

    def requests(self, host: str, tokens: Sequence[str]) -> list[bytes]:
        """Whole HTTP requests, one a path, the tokens in turn."""
        return [
            self._request(path, host, tokens[number % len(tokens)])
            for number, path in enumerate(self.paths)
        ]

    def _request(self, path: str, host: str, token: str) -> bytes:
        headers = {"Host": host, "Authorization": f"Bearer {token}", "Accept": "application/json"}
        if self.if_match:
            headers["If-Match"] = self.if_match
        if self.gzip:
            headers["Accept-Encoding"] = "gzip"
        if self.content_type:
            headers |= {"Content-Type": self.content_type, "Content-Length": str(len(self.body))}
        lines = [f"{self.method} {path} HTTP/1.1", *(f"{n}: {v}" for n, v in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


def operations() -> list[Operation]:
    images = [f"/images/{image_id}" for image_id in canned.image_ids(_IDS)]
    edit = json.dumps({"title": "Castle gate, from the moat"}).encode()
    lists = ["/images?limit=20"] * _TOKENS
    return [
        Operation("get, cache off", "GET", images, 200),
        Operation("get, cache hit", "GET", images, 200, cached=True),
        Operation("list of 20", "GET", lists, 200),
        Operation("get, gzip", "GET", images, 200, gzip=True),
        Operation("list of 20, gzip", "GET", lists, 200, gzip=True),
        Operation("patch", "PATCH", images, 200, edit, "application/json", if_match='"1"'),
        Operation("delete", "DELETE", images, 204),
        Operation(
            "post of 2 MP",
            "POST",
            ["/images"],
            201,
            form(canned.jpeg()),
            FORM_TYPE,
            slow=True,
        ),
    ]


def form(picture: bytes) -> bytes:
    fields = {"title": "Castle gate", "albumId": "castle-2026", "tags": "castle"}
    parts = [
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    file = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="IMG_2041.jpg"'
        "\r\nContent-Type: image/jpeg\r\n\r\n"
    )
    return "".join([*parts, file]).encode() + picture + f"\r\n--{_BOUNDARY}--\r\n".encode()


def tokens(issuer: LocalIssuer) -> list[str]:
    made = (
        issuer.token(canned.USER, issuer=canned.ISSUER, client_id=canned.CLIENT, ttl_seconds=86_400)
        for _ in range(_TOKENS)
    )
    return list(made)


def write(requests: Sequence[bytes], path: Path) -> Path:
    """In the form that load.lua reads."""
    path.write_bytes(b"".join(b"%d\n%s\n" % (len(request), request) for request in requests))
    return path
