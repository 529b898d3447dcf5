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


def whole(image: dict[str, Any], sizes: str = "(min-width: 1024px) 33vw, 100vw") -> str:
    """The whole picture, in the space it will take, so that nothing moves when it arrives.

    `sizes` is how wide the page shows it: here in three columns, on small screens in one.
    """
    return (
        f'<img src="{image["imageUrl"]}" srcset="{image["srcset"]}" sizes="{sizes}" '
        f'width="{image["width"]}" height="{image["height"]}" '
        f'alt="{escape(image["altText"] or "")}" '
        f'style="max-width: 100%; height: auto; background: {image["dominantColor"]}">'
    )


def cover(image: dict[str, Any]) -> str:
    """The square thumbnail on narrow screens, the whole picture on others."""
    return (
        "<picture>"
        f'<source media="(max-width: 400px)" srcset="{image["thumbnailUrl"]}" '
        f'width="{image["thumbnailWidth"]}" height="{image["thumbnailHeight"]}">'
        f"{whole(image, sizes='100vw')}</picture>"
    )
