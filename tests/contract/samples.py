"""Images as an upload makes them, without the pictures."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from image_service.domain.images import Image, new_image_id
from image_service.domain.listing import ListQuery, Page
from image_service.domain.renditions import MAIN, RENDITIONS, Rendition
from image_service.ports import ImageLists

DAY_ONE = datetime(2026, 3, 1, 9, 30, 0, 123_000, tzinfo=UTC)


def moment(seconds: float = 0) -> datetime:
    return DAY_ONE + timedelta(seconds=seconds)


def make_image(user_id: str, *, at: datetime = DAY_ONE, **fields: Any) -> Image:
    """A new image of the user with every field set but the album; `fields` override."""
    image_id = new_image_id(at)
    image = Image(
        id=image_id,
        user_id=user_id,
        album_id=None,
        original_filename="Großer Kran (2).JPG",
        original_mime_type="image/jpeg",
        original_width=4000,
        original_height=3000,
        file_size=2_345_678,
        checksum=hashlib.sha256(image_id.encode()).hexdigest(),
        renditions={
            spec.name: Rendition(
                key=spec.key(user_id, image_id),
                width=spec.side,
                height=spec.side if spec.fit == "cover" else spec.side * 3 // 4,
                size_bytes=300_000 if spec.name == MAIN else 20_000,
            )
            for spec in RENDITIONS
        },
        format="webp",
        quality=85,
        placeholder="3OcRJYB4d3h/iIeHeEh3eIhw+j2w",
        dominant_color="#a0b1c2",
        title="Crane",
        description="Two lines\nof words ✓",
        alt_text="A yellow crane",
        tags=("LEGO", "Straße"),
        uploaded_at=at,
        created_at=at,
        updated_at=at,
    )
    return replace(image, **fields)


async def all_pages(lists: ImageLists, user_id: str, query: ListQuery) -> list[Page]:
    """From the query's own start to the last page."""
    pages = [await lists.page(user_id, query)]
    while (position := pages[-1].next_position) is not None:
        pages.append(await lists.page(user_id, replace(query, start=position)))
    return pages


def ids(*pages: Page) -> list[str]:
    return [image.id for page in pages for image in page.images]
