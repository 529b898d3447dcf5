"""Guides for the service's own docs pages: Markdown of docs/ as HTML, links between them kept."""

from __future__ import annotations

import re
from html import escape
from itertools import pairwise
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import Any, Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

STATIC: Final = Path("src/image_service/api/static/guides")
GUIDES: Final = {
    Path("docs/getting-started.md"): "getting-started",
    Path("docs/getting-started/curl.md"): "getting-started/curl",
    Path("docs/getting-started/python.md"): "getting-started/python",
    Path("docs/getting-started/typescript.md"): "getting-started/typescript",
    Path("docs/errors.md"): "errors",
}
_COMMENT: Final = re.compile(r"^<!--.*?-->\n", re.MULTILINE)
_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Image Service: {title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/pages.css">
</head>
<body class="guide">
<nav><b>Image Service</b> <a href="/docs">Try it</a> <a href="/redoc">Reference</a>
<a href="/docs/getting-started">Getting started</a> <a href="/docs/errors">Errors</a></nav>
<main>
{body}</main>
</body>
</html>
"""


def guide_file(source: Path) -> Path:
    return STATIC / f"{GUIDES[source]}.html"


def rendered(source: Path, text: str) -> str:
    """The page for a guide's Markdown. A link to a file that is not served becomes its text."""
    parser = MarkdownIt("commonmark").enable("table")
    tokens = parser.parse(_COMMENT.sub("", text))
    title = next(after.content for token, after in pairwise(tokens) if token.tag == "h1")
    for token, after in pairwise(tokens):
        if token.type == "heading_open":
            token.attrSet("id", anchor(after.content))
    for token in tokens:
        token.children = token.children and list(_linked(source, token.children))
    body = parser.renderer.render(tokens, parser.options, {})
    body = body.replace("<table>", '<div class="wide"><table>')
    body = body.replace("</table>", "</table></div>")
    return _PAGE.format(title=escape(title), body=body)


def anchor(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _linked(source: Path, tokens: list[Token]) -> Any:
    dropped = False
    for token in tokens:
        if token.type == "link_open":
            target = _target(source, str(token.attrGet("href")))
            dropped = target is None
            if target is not None:
                token.attrSet("href", target)
        if not (dropped and token.type in {"link_open", "link_close"}):
            yield token


def _target(source: Path, href: str) -> str | None:
    if href.startswith(("https://", "#")):
        return href
    path, _, heading = href.partition("#")
    file = Path(normpath(PurePosixPath(source.parent.as_posix()) / path))
    if file not in GUIDES:
        return None
    return f"/docs/{GUIDES[file]}" + (heading and f"#{heading}")
