"""Is a deployed service whole? Asks it over HTTP; needs nothing but the standard library.

    python tests/container/smoke.py https://images-dev.lego-api.com [--cdn]

With SMOKE_TOKEN set, a picture is uploaded too, fetched through its imageUrl, listed and
deleted. Exits with 1 and one line at the first thing that is wrong, an empty token included:
whoever set it meant to test uploads.
"""

from __future__ import annotations

import argparse
import json
import os
import struct
import sys
import time
import urllib.error
import urllib.request
import zlib
from dataclasses import dataclass

_TIMEOUT_SECONDS = 35  # the service's own deadline for an upload is 30


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    url: str  # after redirects

    def json(self):
        return json.loads(self.body)


def call(method, url, *, token=None, body=None, content_type=None, more=None):
    headers = {"User-Agent": "image-service-smoke", **(more or {})}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if content_type:
        headers["Content-Type"] = content_type
    request = urllib.request.Request(url, data=body, headers=headers, method=method)
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        response = error
    except OSError as error:
        sys.exit(f"FAILED {method} {url}: {error}")
    with response:
        names = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, names, response.read(), response.url)


def expect(what, answer, status):
    if answer.status != status:
        sys.exit(f"FAILED {what}: {answer.status} instead of {status}: {answer.body[:300]!r}")
    print(f"ok     {what}")  # noqa: T201 # a progress line is what it is run for


def require(what, fact):
    if not fact:
        sys.exit(f"FAILED {what}")
    print(f"ok     {what}")  # noqa: T201 # as above


def png(width, height):
    """A gradient, so that it is a picture no cache has seen twice: the time is in its corner."""
    stamp = time.time_ns().to_bytes(8, "big")
    rows = b"".join(
        b"\0" + bytes(value for x in range(width) for value in (x & 255, y & 255, stamp[x % 8]))
        for y in range(height)
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind, data):
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def form(picture):
    boundary = "----smoke"
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="smoke.png"\r\n'
        "Content-Type: image/png\r\n\r\n"
    )
    body = head.encode() + picture + f"\r\n--{boundary}--\r\n".encode()
    return body, f"multipart/form-data; boundary={boundary}"


def check_open_routes(base):
    expect("it is alive", call("GET", f"{base}/health/live"), 200)
    expect("what it depends on is up", call("GET", f"{base}/health"), 200)
    document = call("GET", f"{base}/openapi.json")
    expect("it describes itself", document, 200)
    require("the document has the images", "/images" in document.json()["paths"])
    closed = call("GET", f"{base}/images")
    expect("it lets nobody in without a token", closed, 401)
    require("and says so in the envelope", closed.json()["code"] == "TOKEN_MISSING")


def check_cdn(base):
    picture = f"{base}/images/nobody/00000000000000000000000000.webp"
    expect("the CDN knows that a picture is missing", call("GET", picture), 404)
    spelled = call("GET", picture.replace("nobody", "%6eobody"))
    require("it leads another spelling to the one there is", spelled.url == picture)
    asked = {
        "Origin": "https://other.example",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "x-requested-with",
    }
    preflight = call("OPTIONS", picture, more=asked)
    expect("it answers a preflight of a picture", preflight, 204)
    allowed = preflight.headers.get("access-control-allow-headers", "")
    require("and allows what was asked", allowed in {"*", "x-requested-with"})


def check_a_picture(base, token):
    body, content_type = form(png(640, 480))
    made = call("POST", f"{base}/images", token=token, body=body, content_type=content_type)
    expect("a picture is taken", made, 201)
    image = made.json()
    url = f"{base}/images/{image['id']}"
    try:
        files = {each["name"]: each["url"] for each in image["renditions"]}
        require("there is a smaller one", sorted(files) == ["main", "w320"])
        for name, file in {**files, "thumbnail": image["thumbnailUrl"]}.items():
            picture = call("GET", file)
            expect(f"{name} opens", picture, 200)
            require(f"{name} is WebP", picture.body[8:12] == b"WEBP")
        listed = call("GET", f"{base}/images?limit=5", token=token).json()["images"]
        require("it is in the list", image["id"] in [each["id"] for each in listed])
    finally:
        deleted = call("DELETE", url, token=token)
    expect("it is deleted", deleted, 204)
    expect("and is gone", call("GET", url, token=token), 404)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("base", help="where the service is, such as http://localhost:8000")
    parser.add_argument("--cdn", action="store_true", help="CloudFront stands before it")
    arguments = parser.parse_args()
    base = arguments.base.rstrip("/")
    token = os.environ.get("SMOKE_TOKEN")
    if token == "":
        sys.exit("FAILED SMOKE_TOKEN is set, and empty")
    check_open_routes(base)
    if arguments.cdn:
        check_cdn(base)
    if token:
        check_a_picture(base, token)


if __name__ == "__main__":
    main()
