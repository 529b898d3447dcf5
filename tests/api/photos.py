"""Pictures to upload, made by Pillow; and the upload itself."""

from __future__ import annotations

import io
from typing import Any

import httpx
from PIL import Image

from image_service.devstack import stack

IMAGES = "/images"
MAX_FILE_BYTES = 10 * 1024 * 1024


def photo(width: int = 160, height: int = 120, kind: str = "JPEG", **save: Any) -> bytes:
    """A small picture with something in it."""
    across = Image.linear_gradient("L").resize((width, height)).rotate(90)
    down = Image.linear_gradient("L").resize((width, height))
    picture = Image.merge("RGB", (across, down, Image.new("L", (width, height), 90)))
    out = io.BytesIO()
    picture.save(out, kind, **save)
    return out.getvalue()


PHOTO = photo()


async def upload(client: httpx.AsyncClient, data: bytes = PHOTO, **fields: Any) -> dict[str, Any]:
    """Upload and return the image; fails the test unless it was stored."""
    response = await client.post(
        IMAGES, files={"file": ("photo.jpg", data, "image/jpeg")}, data=fields
    )
    assert response.status_code == 201, response.text
    image: dict[str, Any] = response.json()
    return image


def raw_form(*parts: tuple[str, bytes], boundary: bytes = b"cut-here") -> bytes:
    """A form body from (Content-Disposition parameters, content) pairs."""
    lines = b"".join(
        b"--%s\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n"
        % (boundary, parameters.encode(), content)
        for parameters, content in parts
    )
    return lines + b"--%s--\r\n" % boundary


async def stored_object(emulator: str, key: str) -> httpx.Response:
    """The object as a browser would get it."""
    async with httpx.AsyncClient() as browser:
        return await browser.get(f"{emulator}/{stack.BUCKET}/{key}")
