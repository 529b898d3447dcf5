"""DynamoDB and S3 that answer at once, the same to everybody: a back end no server waits for.

Speaks as much of both protocols as the measured operations need, and keeps nothing. One
process on one core answers more than 10,000 requests a second, several times what the
servers ask for.
"""

from __future__ import annotations

import argparse
import asyncio
import re
from pathlib import Path
from typing import Final, cast

import uvloop

from benchmarks.requests import canned

_CONTENT_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_TARGET: Final = re.compile(rb"\r\nx-amz-target: *DynamoDB_20120810\.(\w+)", re.IGNORECASE)
_IMAGE_KEY: Final = re.compile(rb"IMAGE#([0-9A-Z]{26})")
_LIMIT: Final = re.compile(rb'"Limit": ?(\d+)')

_DELETED: Final = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n'
    b'<DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></DeleteResult>'
)


class Answers:
    """Bodies, made once; only ids are put in."""

    def __init__(self, jwks: bytes) -> None:
        self._jwks = _plain(jwks, "application/json")
        self._item = canned.get_item_answer()
        self._usage = _dynamodb(canned.usage_answer())
        self._pages: dict[int, bytes] = {}
        self._nothing = _dynamodb(b'{"Items":[],"Count":0,"ScannedCount":0}')
        self._done = _dynamodb(b"{}")
        self._stored = _plain(b"", "application/xml", b'ETag: "9b2cf535f27731c974343645a3985328"')
        self._deleted = _plain(_DELETED, "application/xml")

    def to(self, head: bytes, body: bytes) -> bytes:
        target = _TARGET.search(head)
        if target is not None:
            return self._dynamodb(target[1], body)
        if head.startswith(b"PUT "):
            return self._stored
        return self._deleted if head.startswith(b"POST ") else self._jwks

    def _dynamodb(self, operation: bytes, body: bytes) -> bytes:
        if operation == b"GetItem":
            key = _IMAGE_KEY.search(body)
            if key is None:
                return self._usage
            return _dynamodb(self._item.replace(canned.AN_ID.encode(), key[1]))
        if operation == b"Query":
            return self._page(body) if b"UserIndex" in body else self._nothing
        return self._done

    def _page(self, body: bytes) -> bytes:
        limit = _LIMIT.search(body)
        count = int(limit[1]) if limit else 20
        if count not in self._pages:
            self._pages[count] = _dynamodb(canned.query_answer(count))
        return self._pages[count]


def _dynamodb(body: bytes) -> bytes:
    return _plain(body, "application/x-amz-json-1.0", b"x-amz-crc32: %d" % canned.crc32(body))


def _plain(body: bytes, content_type: str, header: bytes = b"Server: stub") -> bytes:
    return (
        b"HTTP/1.1 200 OK\r\n"
        b"x-amzn-RequestId: 4KBNVRGD25RG1KEO9UT4V3FQDJVV4KQNSO5AEMVJF66Q9ASUAAJG\r\n"
        b"Content-Type: %s\r\nContent-Length: %d\r\n%s\r\nConnection: keep-alive\r\n\r\n%s"
        % (content_type.encode(), len(body), header, body)
    )


class Connection(asyncio.Protocol):
    """Requests one after the other; bodies by Content-Length only."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._received = bytearray()
        self._expected = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is of no such class

    def data_received(self, data: bytes) -> None:
        self._received += data
        while self._answer_next():
            pass

    def _answer_next(self) -> bool:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = bytes(self._received[:end])
        length = _CONTENT_LENGTH.search(head)
        whole = end + 4 + (int(length[1]) if length else 0)
        if len(self._received) < whole:
            if b"100-continue" in head and not self._expected:
                self._expected = True
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return False
        self._transport.write(self._answers.to(head, bytes(self._received[end + 4 : whole])))
        del self._received[:whole]
        self._expected = False
        return True


async def _serve(port: int, answers: Answers) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(answers), "127.0.0.1", port)
    async with server:
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.requests.stub")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--jwks", type=Path, required=True)
    options = parser.parse_args()
    uvloop.run(_serve(options.port, Answers(options.jwks.read_bytes())))


if __name__ == "__main__":
    main()
