"""Swagger UI and ReDoc, served from the installed package: no asset of another host."""

from __future__ import annotations

import gzip
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from fastapi import APIRouter, FastAPI, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from image_service.api.dependencies import state_of
from image_service.api.middleware.compression import accepts_gzip
from image_service.api.openapi import document

# Both pages style themselves inline, and ReDoc searches in a worker made from a blob.
_CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; worker-src 'self' blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
    "Cache-Control": "public, max-age=300",
}


def _package_folder(name: str) -> Path:
    """Returns where a package lies, found without importing it."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"the package {name} is not installed")
    return Path(spec.origin).parent


# Only its browser builds are wanted, none of its code.
_VENDOR = _package_folder("fastapi_offline") / "static"
_OWN = Path(__file__).parent.parent / "static"
_GUIDES = _OWN / "guides"
_CSS, _JAVASCRIPT, _HTML = "text/css", "text/javascript", "text/html"
_ASSETS: Final = {
    "/docs/swagger-ui.css": (_VENDOR / "swagger-ui.css", _CSS),
    "/docs/swagger-ui-bundle.js": (_VENDOR / "swagger-ui-bundle.js", _JAVASCRIPT),
    "/docs/pages.css": (_OWN / "pages.css", _CSS),
    "/docs/start.js": (_OWN / "start-swagger-ui.js", _JAVASCRIPT),
    "/redoc/redoc.standalone.js": (_VENDOR / "redoc.standalone.js", _JAVASCRIPT),
    **{
        f"/docs/{guide.relative_to(_GUIDES).with_suffix('').as_posix()}": (guide, _HTML)
        for guide in sorted(_GUIDES.rglob("*.html"))  # made by tools/guides.py
    },
}

_SWAGGER_UI = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Image Service: API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="stylesheet" href="/docs/pages.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_REDOC = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Image Service: API reference</title>
<link rel="icon" href="data:,">
</head>
<body style="margin: 0">
<redoc spec-url="/openapi.json"></redoc>
<script src="/redoc/redoc.standalone.js"></script>
</body>
</html>
"""

OPEN_PATHS: Final = frozenset({"/", "/docs", "/redoc", "/openapi.json", *_ASSETS})

router = APIRouter(include_in_schema=False)


@router.get("/")
async def lead_to_docs(request: Request) -> Response:
    """For a browser; to a program this is no route."""
    if "text/html" not in request.headers.get("accept", ""):
        raise HTTPException(404)
    return RedirectResponse("/docs", headers={"Vary": "Accept"})


@router.get("/docs")
async def swagger_ui() -> Response:
    return HTMLResponse(_SWAGGER_UI, headers=_HEADERS)


@router.get("/redoc")
async def redoc() -> Response:
    return HTMLResponse(_REDOC, headers=_HEADERS)


@router.get("/openapi.json")
async def openapi_document(request: Request) -> Response:
    """Rendered once: each time it would take everybody's event loop milliseconds, for no token."""
    state = state_of(request.app)
    if state.document is None:
        state.document = await run_in_threadpool(_rendered, request.app)
    headers = {"Cache-Control": "public, max-age=300"}
    plain, zipped = state.document
    if _wants_gzip(request):
        headers |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        return Response(zipped, media_type="application/json", headers=headers)
    return Response(plain, media_type="application/json", headers=headers)


def _rendered(app: FastAPI) -> tuple[bytes, bytes]:
    plain = bytes(JSONResponse(document(app)).body)
    return plain, gzip.compress(plain)


async def _asset(request: Request) -> Response:
    zipped, media_type = await run_in_threadpool(_zipped, request.url.path)
    headers = {**_HEADERS, "Vary": "Accept-Encoding"}
    if _wants_gzip(request):
        headers["Content-Encoding"] = "gzip"
        return Response(zipped, media_type=media_type, headers=headers)
    plain = await run_in_threadpool(_plain, request.url.path)
    return Response(plain, media_type=media_type, headers=headers)


def _wants_gzip(request: Request) -> bool:
    return accepts_gzip(", ".join(request.headers.getlist("accept-encoding")))


@cache
def _plain(path: str) -> bytes:
    """Kept too: made again, it would take a megabyte for everyone who reads it slowly."""
    return gzip.decompress(_zipped(path)[0])


@cache
def _zipped(path: str) -> tuple[bytes, str]:
    """An asset, compressed once: it takes a tenth of a second of CPU."""
    file, media_type = _ASSETS[path]
    # ReDoc would load its logo from its maker's host.
    body = file.read_bytes().replace(b"https://cdn.redoc.ly/redoc/logo-mini.svg", b"data:,")
    return gzip.compress(body), media_type


for _path in _ASSETS:
    router.add_api_route(_path, _asset, methods=["GET"])
