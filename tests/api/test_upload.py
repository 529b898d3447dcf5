from __future__ import annotations

import asyncio
import gc
import hashlib
import io
import json
import re
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from PIL import Image
from tests.api.conftest import NewClient
from tests.api.photos import IMAGES, MAX_FILE_BYTES, PHOTO, photo, raw_form, upload

from image_service.services.uploads import NewImage

ALL_KEYS = {
    *("id", "userId", "albumId", "originalFilename", "originalMimeType", "mimeType"),
    *("fileSize", "processedSize", "width", "height", "originalWidth", "originalHeight"),
    *("aspectRatio", "s3Key", "thumbnailKey", "imageUrl", "thumbnailUrl", "thumbnailWidth"),
    *(
        "thumbnailHeight",
        "renditions",
        "srcset",
        "placeholder",
        "dominantColor",
        "processingStatus",
        "format",
    ),
    *("quality", "checksum", "title", "description", "altText", "tags", "createdAt"),
    *("updatedAt", "uploadedAt", "version"),
}


async def test_an_upload_answers_with_the_full_image(client: httpx.AsyncClient, user: str):
    data = photo(3000, 1500)
    response = await client.post(
        IMAGES,
        files={"file": ("C:\\holiday\\castle.jpeg", data, "image/gif")},
        data={
            "title": " Castle\x00 gate ",
            "description": "Seen\nfrom the moat",
            "altText": "A gate",
            "albumId": "\ufeffcastle-2026 ",
            "tags": ["Castle", "cafe\u0301", "CASTLE"],
        },
    )
    assert response.status_code == 201
    image = response.json()
    assert set(image) == ALL_KEYS
    assert response.headers["location"] == f"/images/{image['id']}"
    assert response.headers["etag"] == '"1"'
    assert image["userId"] == user
    assert image["title"] == "Castle gate"
    assert image["description"] == "Seen\nfrom the moat"
    assert image["altText"] == "A gate"
    assert image["albumId"] == "castle-2026"
    assert image["tags"] == ["Castle", "caf\u00e9"]
    assert image["originalFilename"] == "castle.jpeg"
    assert image["originalMimeType"] == "image/jpeg"
    assert image["mimeType"] == "image/webp"
    assert (image["originalWidth"], image["originalHeight"]) == (3000, 1500)
    assert (image["width"], image["height"]) == (2048, 1024)
    assert (image["thumbnailWidth"], image["thumbnailHeight"]) == (400, 400)
    assert image["aspectRatio"] == 2.0
    assert image["fileSize"] == len(data)
    assert image["checksum"] == hashlib.sha256(data).hexdigest()
    assert image["s3Key"] == f"images/{user}/{image['id']}.webp"
    assert image["thumbnailKey"] == f"images/{user}/thumbnails/{image['id']}.webp"
    assert re.fullmatch("#[0-9a-f]{6}", image["dominantColor"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", image["uploadedAt"])
    assert image["uploadedAt"] == image["createdAt"] == image["updatedAt"]
    assert (image["processingStatus"], image["format"], image["quality"]) == (
        "completed",
        "webp",
        85,
    )
    assert image["version"] == 1


async def test_the_urls_open_and_hold_the_pictures(client: httpx.AsyncClient):
    image = await upload(client, photo(800, 500, "PNG"))
    async with httpx.AsyncClient() as browser:
        main = await browser.get(image["imageUrl"])
        thumbnail = await browser.get(image["thumbnailUrl"])
    for answer, size in ((main, (800, 500)), (thumbnail, (400, 400))):
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "image/webp"
        assert answer.headers["cache-control"] == "public, max-age=86400, immutable"
        picture = Image.open(io.BytesIO(answer.content))
        assert (picture.format, picture.size) == ("WEBP", size)
    assert image["processedSize"] == len(main.content)


async def test_a_user_id_with_reserved_characters_has_urls_that_open(new_client):
    async with new_client("auth0|a.b:c@d") as client:
        image = await upload(client)
    assert "%7C" in image["imageUrl"]
    async with httpx.AsyncClient() as browser:
        assert (await browser.get(image["imageUrl"])).status_code == 200


async def test_only_the_file_is_required(client: httpx.AsyncClient):
    image = await upload(client, title="", albumId="", tags="")
    assert image["title"] is image["albumId"] is image["description"] is image["altText"] is None
    assert image["tags"] == []


@pytest.mark.parametrize(
    "fields",
    [
        {"tags": ["castle", "red"]},
        {"tags[]": ["castle", "red"]},
        {"tags": "castle", "tags[]": "red"},
        {"tags": json.dumps(["castle", "red"])},
    ],
)
async def test_all_ways_of_sending_tags(client: httpx.AsyncClient, fields):
    assert (await upload(client, **fields))["tags"] == ["castle", "red"]


async def test_a_form_without_a_boundary_parameter_works(client: httpx.AsyncClient):
    body = raw_form(('name="file"; filename="a.jpg"', PHOTO), ('name="title"', b"Gate"))
    response = await client.post(
        IMAGES, content=body, headers={"Content-Type": "multipart/form-data"}
    )
    assert response.status_code == 201, response.text
    assert response.json()["title"] == "Gate"


async def test_exactly_the_limit_passes_and_one_byte_more_does_not(client: httpx.AsyncClient):
    full = PHOTO.ljust(MAX_FILE_BYTES, b"\0")
    assert (await upload(client, full))["fileSize"] == MAX_FILE_BYTES
    response = await client.post(IMAGES, files={"file": ("a.jpg", full + b"\0")})
    assert response.status_code == 413
    error = response.json()
    assert error["code"] == "FILE_TOO_LARGE"
    assert error["details"]["limit"] == MAX_FILE_BYTES
    assert "10,485,760" in error["message"]


async def test_a_body_far_over_the_limit_is_not_read(client: httpx.AsyncClient):
    read = 0

    async def endless():
        nonlocal read
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        while True:
            read += 65536
            yield b"\xff" * 65536

    response = await client.post(
        IMAGES, content=endless(), headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    assert response.status_code == 413
    # The limit, and what is dropped so that the answer arrives.
    assert read <= MAX_FILE_BYTES + (16 << 20) + 2 * 65536


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"GIF89a" + b"\0" * 200, "INVALID_FILE_TYPE"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "INVALID_FILE_TYPE"),
        (PHOTO[: len(PHOTO) // 2], "INVALID_IMAGE"),
        (photo(99, 200), "INVALID_DIMENSIONS"),
        (photo(8001, 100, "PNG"), "INVALID_DIMENSIONS"),
        (b"", "FILE_REQUIRED"),
    ],
)
async def test_a_refused_file_says_why(client: httpx.AsyncClient, data: bytes, code: str):
    response = await client.post(IMAGES, files={"file": ("a.jpg", data, "image/jpeg")})
    assert response.status_code == 400
    error = response.json()
    assert (error["error"], error["code"]) == ("ValidationError", code)
    if code != "FILE_REQUIRED":
        assert {"measured", "limit"} <= set(error["details"])
    assert (await client.get(IMAGES)).json()["totalCount"] == 0


@pytest.mark.parametrize(
    "data",
    [PHOTO[:20], PHOTO[: len(PHOTO) * 2 // 3]],
    ids=["refused by its header", "refused by its pixels"],
)
async def test_a_refused_file_is_freed_with_its_response(
    new_client: NewClient, app: FastAPI, user: str, data: bytes
):
    """A connection keeps the scope of its last request for as long as it is open."""
    scopes = []

    async def keeping(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await app(scope, receive, send)

    gc.collect()
    gc.disable()
    try:
        async with new_client(user, app=keeping) as client:
            response = await client.post(IMAGES, files={"file": data})
        async with asyncio.timeout(10):  # a thread may be about to let go of it
            while [one for one in gc.get_objects() if _is_upload(one, data)]:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.05)
    finally:
        gc.enable()
    assert response.json()["code"] == "INVALID_IMAGE"
    assert scopes


def _is_upload(thing: object, data: bytes) -> bool:
    return isinstance(thing, NewImage) and thing.data == data


async def test_an_animated_image_is_refused(client: httpx.AsyncClient):
    frames = [Image.new("RGB", (200, 200), colour) for colour in ("red", "green")]
    out = io.BytesIO()
    frames[0].save(out, "WEBP", save_all=True, append_images=frames[1:], duration=50)
    response = await client.post(IMAGES, files={"file": ("a.webp", out.getvalue())})
    assert (response.status_code, response.json()["code"]) == (400, "ANIMATED_IMAGE")
    assert response.json()["details"] == {"measured": {"frames": 2}, "limit": {"maxFrames": 1}}


async def test_all_bad_fields_are_reported_at_once(client: httpx.AsyncClient):
    response = await client.post(
        IMAGES,
        files={"file": ("a.jpg", PHOTO)},
        data={
            "title": "x" * 256,
            "description": "x" * 5001,
            "altText": "x" * 256,
            "albumId": "no spaces",
            "tags": [f"tag {n}" for n in range(21)],
        },
    )
    assert response.status_code == 400
    error = response.json()
    assert error["code"] == "VALIDATION_FAILED"
    faults = {fault["field"]: fault["message"] for fault in error["details"]}
    assert set(faults) == {"title", "description", "altText", "albumId", "tags"}
    assert "256" in faults["title"]
    assert "255" in faults["title"]


@pytest.mark.parametrize(
    ("parts", "status", "code"),
    [
        ([('name="title"', b"x")], 400, "FILE_REQUIRED"),
        ([('name="file"; filename=""', b"")], 400, "FILE_REQUIRED"),
        ([('name="file"', PHOTO), ('name="file"', PHOTO)], 400, "VALIDATION_FAILED"),
        ([('name="file"', PHOTO), ('name="titel"', b"x")], 400, "VALIDATION_FAILED"),
        ([('name="file"', PHOTO), ('name="title"', b"\xff")], 400, "VALIDATION_FAILED"),
        ([('name="file"', PHOTO), ('name="tags"', b"[1]")], 400, "VALIDATION_FAILED"),
    ],
)
async def test_a_bad_form_is_refused(client: httpx.AsyncClient, parts, status, code):
    response = await client.post(
        IMAGES,
        content=raw_form(*parts),
        headers={"Content-Type": "multipart/form-data; boundary=cut-here"},
    )
    assert (response.status_code, response.json()["code"]) == (status, code)


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Content-Type": "application/json"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        ({"Content-Type": "image/jpeg"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        ({}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        (
            {"Content-Type": "multipart/form-data; boundary=cut-here", "Content-Encoding": "gzip"},
            415,
            "UNSUPPORTED_MEDIA_TYPE",
        ),
        ({"Content-Type": "multipart/form-data; boundary=other"}, 400, "MALFORMED_BODY"),
    ],
)
async def test_a_body_of_another_kind_is_refused(client: httpx.AsyncClient, headers, status, code):
    body = raw_form(('name="file"', PHOTO))
    response = await client.post(IMAGES, content=body, headers=headers)
    assert (response.status_code, response.json()["code"]) == (status, code)


async def test_a_truncated_form_stores_nothing(client: httpx.AsyncClient):
    body = raw_form(('name="file"; filename="a.jpg"', PHOTO))
    response = await client.post(
        IMAGES, content=body[:-20], headers={"Content-Type": "multipart/form-data"}
    )
    assert (response.status_code, response.json()["code"]) == (400, "MALFORMED_BODY")
    assert (await client.get(IMAGES)).json()["totalCount"] == 0
