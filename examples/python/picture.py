"""An image as HTML."""

from html import escape
from typing import Any


def tile(image: dict[str, Any], side: int = 200) -> str:
    """A square tile of a gallery; the browser takes the file that fits its screen.

    The thumbnail is a square crop, the main picture is the whole: `object-fit` crops it alike.
    """
    files = {"thumbnailUrl": "thumbnailWidth", "imageUrl": "width"}
    srcset = ", ".join(f"{image[url]} {image[width]}w" for url, width in files.items())
    return (
        f'<img src="{image["thumbnailUrl"]}" srcset="{srcset}" sizes="{side}px" '
        f'width="{side}" height="{side}" alt="{escape(image["altText"] or "")}" loading="lazy" '
        f'style="object-fit: cover; background: {image["dominantColor"]}">'
    )


def whole(image: dict[str, Any]) -> str:
    """The whole picture, in the space it will take, so that nothing moves when it arrives."""
    return (
        f'<img src="{image["imageUrl"]}" width="{image["width"]}" height="{image["height"]}" '
        f'alt="{escape(image["altText"] or "")}" '
        f'style="max-width: 100%; height: auto; background: {image["dominantColor"]}">'
    )
