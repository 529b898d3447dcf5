"""Before anything is timed: do they all answer the same?"""

from __future__ import annotations

import gzip
import http.client
import json
from collections.abc import Sequence
from typing import Any

from benchmarks.requests.operations import Operation
from benchmarks.requests.processes import Running

# Made anew for each upload or edit, differ by design, or are no part of the rival's work.
_OWN = frozenset(
    {"id", "createdAt", "updatedAt", "uploadedAt", "processedSize", "s3Key", "thumbnailKey"}
    | {"imageUrl", "thumbnailUrl", "renditions", "srcset", "placeholder", "dominantColor"}
)


def same_answers(
    operation: Operation, contenders: Sequence[Running], tokens: Sequence[str]
) -> None:
    """Raises SystemExit where one has another status or body than the first."""
    bodies = [_body(operation, server, tokens) for server in contenders]
    if any(body != bodies[0] for body in bodies):
        told = "\n".join(
            f"{server.name}: {body}" for server, body in zip(contenders, bodies, strict=True)
        )
        raise SystemExit(f"{operation.name} is answered differently:\n{told}")


def _body(operation: Operation, server: Running, tokens: Sequence[str]) -> Any:
    host = server.url.removeprefix("http://")
    raw = operation.requests(host, tokens)[0]
    connection = http.client.HTTPConnection(host, timeout=30)
    connection.connect()
    connection.sock.sendall(raw)
    answer = http.client.HTTPResponse(connection.sock, method=operation.method)
    answer.begin()
    body = answer.read()
    connection.close()
    if answer.status != operation.status:
        raise SystemExit(f"{server.name} answers {operation.name} with {answer.status}: {body!r}")
    if operation.gzip and answer.headers["Content-Encoding"] == "gzip":
        body = gzip.decompress(body)
    parsed = json.loads(body) if body else None
    return _comparable(operation, parsed)


def _comparable(operation: Operation, parsed: Any) -> Any:
    if not isinstance(parsed, dict):
        return parsed
    if "pagination" in parsed:
        parsed["pagination"]["nextCursor"] = bool(parsed["pagination"]["nextCursor"])
    elif operation.method == "POST":
        parsed = {name: value for name, value in parsed.items() if name not in _OWN}
    else:
        parsed.pop("updatedAt", None)
    return parsed
