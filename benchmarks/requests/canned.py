"""Content of the back ends: one user's images, all alike but for their ids."""

from __future__ import annotations

import io
import json
import random
import zlib
from datetime import UTC, datetime
from typing import Any, Final

from PIL import Image as Pillow

from image_service.adapters.dynamodb.items import image_item, to_wire
from image_service.domain.images import Image
from image_service.domain.renditions import Rendition, table

USER: Final = "8f14e45f-ceea-467f-ab1c-2f0d3c9b1a77"
TABLE: Final = "ImageMetadata-bench"
BUCKET: Final = "images-lego-moc-bench"
CDN: Final = "https://images.lego-api.com"
ISSUER: Final = "https://issuer.bench.localhost"
CLIENT: Final = "bench-client"
AN_ID: Final = "01KAR0F3WJ8P5V2D7QK9T4XZ6M"
IMAGE_COUNT: Final = 142
# Of the renditions, with bytes: two, as in the original design. The service runs without widths.
_SIZES: Final = ((2048, 1536, 412_760), (400, 400, 18_204))

_ID_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def image_ids(count: int, seed: int = 1) -> list[str]:
    dice = random.Random(seed)
    return ["01KAR" + "".join(dice.choices(_ID_ALPHABET, k=21)) for _ in range(count)]


def image(image_id: str = AN_ID) -> Image:
    """An ordinary one: in an album, with two tags and a sentence or two."""
    at = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
    return Image(
        id=image_id,
        user_id=USER,
        album_id="castle-2026",
        original_filename="IMG_2041.jpg",
        original_mime_type="image/jpeg",
        original_width=4032,
        original_height=3024,
        file_size=3_482_915,
        checksum="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        renditions={
            spec.name: _rendition(spec.key(USER, image_id), *size)
            for spec, size in zip(table(()), _SIZES, strict=True)
        },
        format="webp",
        quality=85,
        placeholder="1QcSHQRnh493V4dIh4eXh1h4kJUI",
        dominant_color="#7a8b99",
        title="Castle gate",
        description="The gate house, seen from the moat.",
        alt_text="A grey brick gate house with two round towers",
        tags=("castle", "Medieval"),
        uploaded_at=at,
        created_at=at,
        updated_at=at,
    )


def _rendition(key: str, width: int, height: int, size_bytes: int) -> Rendition:
    return Rendition(key=key, width=width, height=height, size_bytes=size_bytes)


def get_item_answer(image_id: str = AN_ID) -> bytes:
    return _json({"Item": to_wire(image_item(image(image_id)))})


def usage_answer() -> bytes:
    usage = {"imageCount": IMAGE_COUNT, "totalBytes": IMAGE_COUNT * 430_964}
    return _json({"Item": to_wire(usage)})


def query_answer(count: int) -> bytes:
    """`count` images, and more behind them."""
    items = [to_wire(image_item(image(image_id))) for image_id in image_ids(count, seed=2)]
    last = {name: items[-1][name] for name in ("PK", "SK", "GSI1PK", "GSI1SK")}
    return _json({"Items": items, "Count": count, "ScannedCount": count, "LastEvaluatedKey": last})


def _json(answer: Any) -> bytes:
    return json.dumps(answer, separators=(",", ":")).encode()


def crc32(body: bytes) -> int:
    """As DynamoDB states it in `x-amz-crc32`."""
    return zlib.crc32(body)


def jpeg(width: int = 1632, height: int = 1224, seed: int = 1) -> bytes:
    """A picture of 2 MP with the grain of a photograph, some 600 KB."""
    dice = random.Random(seed)
    coarse = Pillow.frombytes(
        "RGB", (width // 16, height // 16), dice.randbytes(width // 16 * (height // 16) * 3)
    ).resize((width, height), Pillow.Resampling.BICUBIC)
    grain = Pillow.effect_noise((width, height), 24).convert("RGB")
    out = io.BytesIO()
    Pillow.blend(coarse, grain, 0.25).save(out, "JPEG", quality=88)
    return out.getvalue()
