"""A client of the image service to copy and change. Needs Python 3.10 and httpx."""

# region: connect
from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

Image = dict[str, Any]  # the JSON of an image, as /docs has it
ATTEMPTS = 6


# Gets False for a token that is still good, and True for another one: the last has expired.
Token = Callable[[bool], str]


def connect(url: str, token: Token) -> httpx.Client:
    """For one user, for as long as `token` has tokens."""
    return httpx.Client(base_url=url, auth=Bearer(token), timeout=httpx.Timeout(40, connect=10))


class Bearer(httpx.Auth):
    requires_response_body = True

    def __init__(self, token: Token) -> None:
        self.token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self.token(False)}"
        response = yield request
        if error_of(response).get("code") == "TOKEN_EXPIRED":
            request.headers["Authorization"] = f"Bearer {self.token(True)}"
            yield request


class Refused(Exception):
    """A response other than success: decide by `code`, report `request_id`."""

    def __init__(self, response: httpx.Response) -> None:
        error = error_of(response)
        self.status: int = response.status_code
        self.code: str | None = error.get("code")
        self.request_id: str | None = response.headers.get("X-Request-ID")
        super().__init__(f"{self.status} {self.code}: {error.get('message')} ({self.request_id})")


def error_of(response: httpx.Response) -> dict[str, Any]:
    """The error's JSON; empty for a success, or if a proxy answered instead of the service."""
    is_json = response.headers.get("Content-Type", "").startswith("application/json")
    return response.json() if response.is_error and is_json else {}


def accepted(response: httpx.Response) -> httpx.Response:
    if response.is_error:
        raise Refused(response)
    return response


# endregion


# region: send
def send(client: httpx.Client, method: str, path: str, **request: Any) -> httpx.Response:
    """Repeats the request while it may still help, and returns the last response."""
    attempt = 1
    while True:
        try:
            response = client.request(method, path, **request)
        except httpx.TransportError:  # no connection, a timeout, or the response got lost
            if attempt == ATTEMPTS:
                raise
            asked = 0
        else:
            if attempt == ATTEMPTS or not is_passing(response):
                return response
            header = response.headers.get("Retry-After", "")
            asked = int(header) if header.isdecimal() else 0
        # At least what the service asks for; the random part keeps clients from coming back
        # all at once, and grows from try to try.
        time.sleep(asked + random.uniform(0, min(10, 2**attempt / 4)))
        attempt += 1


def is_passing(response: httpx.Response) -> bool:
    # 502 and 504 come from a load balancer. 409 has another meaning, too, that stays.
    in_progress = error_of(response).get("code") == "IDEMPOTENCY_IN_PROGRESS"
    return response.status_code in {408, 429, 502, 503, 504} or in_progress


# endregion


# region: upload
def upload(client: httpx.Client, photo: Path, key: str | None = None, **fields: Any) -> Image:
    """Stores the photo once, however often it has to be sent."""
    # As bytes: an open file would be at its end when it is sent again.
    form = {"file": (photo.name, photo.read_bytes())}
    # One key a picture, made before the first try. Keep it with the job where you have a queue.
    headers = {"Idempotency-Key": key or str(uuid4())}
    # A slow line may take 300 s for it, and the response is there 30 s later.
    patience = httpx.Timeout(340, connect=10)
    request = {"files": form, "data": fields, "headers": headers, "timeout": patience}
    return accepted(send(client, "POST", "/images", **request)).json()


# endregion


# region: pages
def all_images(client: httpx.Client, **filters: Any) -> Iterator[Image]:
    """Newest first, page by page as they are asked for. The filters stay the same throughout."""
    cursor = ""
    while cursor is not None:
        query = {"limit": 100, **filters, "cursor": cursor}
        page = accepted(send(client, "GET", "/images", params=query)).json()
        yield from page["images"]
        cursor = page["pagination"]["nextCursor"]


# endregion


# region: edit
def edit(client: httpx.Client, image_id: str, change: Callable[[Image], Image]) -> Image:
    """`change` gets the image as it is now and returns the fields to set."""
    path = f"/images/{image_id}"
    for _ in range(ATTEMPTS):
        read = accepted(send(client, "GET", path))
        response = send(
            client,
            "PATCH",
            path,
            json=change(read.json()),
            headers={"If-Match": read.headers["ETag"]},
        )
        if error_of(response).get("code") != "VERSION_MISMATCH":
            break
    return accepted(response).json()


# endregion


# region: delete
def delete(client: httpx.Client, image_id: str) -> None:
    response = send(client, "DELETE", f"/images/{image_id}")
    # It may have been deleted by an earlier try whose response was lost.
    if error_of(response).get("code") != "IMAGE_NOT_FOUND":
        accepted(response)


# endregion


# region: usage
def usage(client: httpx.Client) -> dict[str, Any]:
    """`imageCount`, `totalBytes`; with `?by=album` in the path also those of each album."""
    return accepted(send(client, "GET", "/usage")).json()


# endregion
