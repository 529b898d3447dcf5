"""The OpenAPI document and the pages that show it."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from jsonschema import Draft202012Validator
from tests.api.photos import IMAGES, MAX_FILE_BYTES, PHOTO, photo, upload
from tests.pictures import encode, textured

from image_service.api import openapi
from image_service.api.error_table import CODES
from image_service.api.schemas import IMAGE_EXAMPLE, ImageUpload
from image_service.app import create_app
from image_service.domain.time_limits import TimeLimits
from image_service.settings import Settings

OPERATIONS = {
    ("/images", "post"),
    ("/images", "get"),
    ("/images/{id}", "get"),
    ("/images/{id}", "patch"),
    ("/images/{id}", "delete"),
    ("/usage", "get"),
    ("/health", "get"),
    ("/health/live", "get"),
    ("/health/ready", "get"),
}


@pytest.fixture
async def document(anonymous: httpx.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = (await anonymous.get("/openapi.json")).json()
    return found


async def test_the_document_is_rendered_once(
    anonymous: httpx.AsyncClient, app: FastAPI, monkeypatch: pytest.MonkeyPatch
):
    plain = await anonymous.get("/openapi.json", headers={"Accept-Encoding": "identity"})
    monkeypatch.setattr(app, "openapi_schema", {"rendered": "again"})
    for coding in ("identity", "gzip"):
        again = await anonymous.get("/openapi.json", headers={"Accept-Encoding": coding})
        assert again.headers.get("content-encoding", "identity") == coding
        assert again.headers["vary"].split(", ").count("Accept-Encoding") == 1
        assert again.content == plain.content


async def test_every_operation_is_described(document: dict[str, Any]):
    found = {
        (path, method): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }
    assert set(found) == OPERATIONS
    for operation in found.values():
        assert operation["summary"]
        assert operation["description"]


async def test_closed_operations_name_the_scheme_and_their_errors(document: dict[str, Any]):
    expected = {
        ("/images", "post"): {"201", "400", "408", "409", "413", "415", "422"},
        ("/images", "get"): {"200", "400"},
        ("/images/{id}", "get"): {"200", "304", "400", "404"},
        ("/images/{id}", "patch"): {
            *("200", "400", "404", "408", "409", "412", "413", "415", "428"),
        },
        ("/usage", "get"): {"200", "304", "400"},
        ("/images/{id}", "delete"): {"204", "400", "404", "409", "412"},
    }
    for (path, method), statuses in expected.items():
        operation = document["paths"][path][method]
        assert operation["security"] == [{"Cognito": []}, {"Machine": []}]
        assert {"$ref": "#/components/parameters/On-Behalf-Of"} in operation["parameters"]
        assert set(operation["responses"]) == statuses | {"401", "403", "429", "500", "503"}
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                content = response["content"]["application/json"]
                assert content["schema"] == {"$ref": "#/components/schemas/Error"}
                for code, example in content["examples"].items():
                    assert example["value"]["code"] == code
    scheme = document["components"]["securitySchemes"]["Cognito"]
    assert (scheme["type"], scheme["scheme"], scheme["bearerFormat"]) == ("http", "bearer", "JWT")
    for path in ("/health", "/health/live", "/health/ready"):
        assert document["paths"][path]["get"]["security"] == []
    health = document["paths"]["/health"]["get"]["responses"]
    assert set(health) == {"200", "400", "429", "503"}
    assert "ValidationError" not in document["components"]["schemas"]


PROMISED = {
    *("ETag", "Location", "Retry-After", "WWW-Authenticate", "X-Request-ID"),
    *("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"),
}
JSON = {"Content-Type": "application/json"}
FORGED = {"Authorization": "Bearer forged"}


@pytest.mark.parametrize(
    ("method", "path", "sent", "status"),
    [
        ("POST", "/images", {"files": {"file": ("a.jpg", PHOTO)}}, 201),
        ("POST", "/images", {"files": {"file": ("a.jpg", b"GIF89a")}}, 400),
        ("POST", "/images", {"headers": FORGED}, 401),
        ("POST", "/images", {"json": {}}, 415),
        ("GET", "/images", {}, 200),
        ("GET", "/images", {"params": {"limit": 0}}, 400),
        ("GET", "/images/{id}", {}, 200),
        ("GET", "/images/{id}", {"headers": {"If-None-Match": "*"}}, 304),
        ("GET", "/images/{id}", {"headers": FORGED}, 401),
        ("PATCH", "/images/{id}", {"json": {}}, 428),
        ("PATCH", "/images/{id}", {"json": {"version": 9}}, 409),
        ("PATCH", "/images/{id}", {"json": {}, "headers": {"If-Match": '"9"'}}, 412),
        ("PATCH", "/images/{id}", {"json": {"title": "Gate", "version": 1}}, 200),
        ("PATCH", "/images/{id}", {"content": b"{", "headers": JSON}, 400),
        ("DELETE", "/images/{id}", {}, 204),
        ("GET", "/usage", {}, 200),
        ("GET", "/usage", {"headers": {"If-None-Match": "*"}}, 304),
        ("GET", "/health", {}, 200),
        ("GET", "/health/live", {}, 200),
        ("GET", "/health/ready", {}, 200),
    ],
)
async def test_the_headers_of_a_response_are_declared(
    client: httpx.AsyncClient,
    document: dict[str, Any],
    method: str,
    path: str,
    sent: dict[str, Any],
    status: int,
):
    image_id = (await upload(client))["id"]
    response = await client.request(method, path.format(id=image_id), **sent)
    assert response.status_code == status
    declared = document["paths"][path][method.lower()]["responses"][str(status)]["headers"]
    assert {name for name in PROMISED if name in response.headers} == PROMISED & set(declared)
    known = document["components"]["headers"]
    for name, header in declared.items():
        resolved = known[header["$ref"].rpartition("/")[2]] if "$ref" in header else header
        assert resolved["description"]
        if name in response.headers:
            value: Any = response.headers[name]
            value = int(value) if resolved["schema"]["type"] == "integer" else value
            Draft202012Validator(resolved["schema"]).validate(value)
        else:
            assert not resolved.get("required")


async def test_refusals_for_a_while_declare_how_long(document: dict[str, Any]):
    for path in document["paths"].values():
        for operation in path.values():
            for status in {"429", "503"} & set(operation["responses"]):
                response = operation["responses"][status]
                is_error = "Error" in str(response["content"]["application/json"]["schema"])
                assert is_error == ("Retry-After" in response["headers"])


async def test_the_code_of_an_error_is_open(document: dict[str, Any]):
    code = document["components"]["schemas"]["Error"]["properties"]["code"]
    assert "enum" not in code
    assert code["type"] == "string"
    assert code["x-extensible-enum"] == list(CODES)
    Draft202012Validator(code).validate("ONE_OF_NEXT_YEAR")


def test_limits_in_the_texts_are_those_of_the_settings(unlike: dict[str, Any]):
    upload_text = unlike["paths"]["/images"]["post"]["description"]
    assert "up to 3 MiB, each side 120 to 5000 pixels" in upload_text
    assert "2048 x 2048 pixels" in upload_text
    assert "`7/second` over all routes, `5/hour` for uploads" in unlike["info"]["description"]
    assert unlike["components"]["headers"]["X-RateLimit-Limit"]["schema"]["example"] == 7
    del unlike["paths"][IMAGES]["post"]["x-codeSamples"]
    assert re.findall(r"\$[a-z_]+", str(unlike).replace("$ref", "")) == []


def test_limits_in_the_examples_are_those_of_the_settings(unlike: dict[str, Any]):
    def sample(path: str, method: str, status: str, code: str) -> dict[str, Any]:
        response = unlike["paths"][path][method]["responses"][status]
        value: dict[str, Any] = response["content"]["application/json"]["examples"][code]["value"]
        return value

    too_small = sample(IMAGES, "post", "400", "INVALID_DIMENSIONS")
    assert "measures 108 x 72 pixels" in too_small["message"]
    assert "at least 120 x 120 and at most 5000 x 5000" in too_small["message"]
    assert too_small["details"]["limit"]["maxWidth"] == 5000
    too_large = sample(IMAGES, "post", "413", "FILE_TOO_LARGE")
    assert "3,145,728 bytes (3 MiB)" in too_large["message"]
    assert too_large["details"] == {"measured": 3_145_729, "limit": 3_145_728}
    too_many = sample(IMAGES, "get", "429", "RATE_LIMIT_EXCEEDED")
    assert too_many["details"] == {"limit": "7 requests per second"}
    at_once = sample("/health", "get", "429", "RATE_LIMIT_EXCEEDED")
    assert at_once["details"] == {"measured": 10, "limit": 9}


@pytest.fixture
def unlike(settings: Settings) -> dict[str, Any]:
    """The document of a service with other limits."""
    changed = {
        "max_file_bytes": 3 << 20,
        "min_dimension": 120,
        "max_dimension": 5000,
        "rate_limit_requests": "7/second",
        "rate_limit_uploads": "5/hour",
        "max_connections": 18,
    }
    return openapi.document(create_app(settings.model_copy(update=changed), TimeLimits()))


async def test_the_example_is_what_the_service_sends(client: httpx.AsyncClient):
    assert set(await upload(client)) == set(IMAGE_EXAMPLE)


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
CUT_SHORT = encode(textured(1200, 900), "JPEG", quality=95)[: 256 * 1024]


def form(data: bytes, **fields: str) -> dict[str, Any]:
    return {"files": {"file": ("a.jpg", data)}, "data": fields}


PLAIN = {"Content-Type": "text/plain"}
NOT_A_TAG = {"If-Match": "3"}
ITEM = f"{IMAGES}/{{id}}"


@pytest.mark.parametrize(
    ("method", "path", "sent", "code"),
    [
        ("POST", IMAGES, form(PHOTO, title="x" * 300), "VALIDATION_FAILED"),
        ("POST", IMAGES, form(photo(90, 60)), "INVALID_DIMENSIONS"),
        ("POST", IMAGES, form(HEIC), "INVALID_FILE_TYPE"),
        ("POST", IMAGES, form(CUT_SHORT), "INVALID_IMAGE"),
        ("POST", IMAGES, form(PHOTO.ljust(MAX_FILE_BYTES + 1)), "FILE_TOO_LARGE"),
        ("POST", IMAGES, form(b""), "FILE_REQUIRED"),
        ("POST", IMAGES, {"content": b"{}", "headers": JSON}, "UNSUPPORTED_MEDIA_TYPE"),
        ("POST", IMAGES, {"headers": FORGED}, "TOKEN_INVALID"),
        ("GET", IMAGES, {"params": {"limit": 101}}, "VALIDATION_FAILED"),
        ("GET", IMAGES, {"params": {"cursor": "x"}}, "INVALID_CURSOR"),
        ("GET", "/usage", {"params": {"by": "album", "limit": 101}}, "VALIDATION_FAILED"),
        ("PATCH", ITEM, {"json": {"titel": "x"}}, "VALIDATION_FAILED"),
        ("PATCH", ITEM, {"content": b'{"title": }', "headers": JSON}, "MALFORMED_BODY"),
        ("PATCH", ITEM, {"content": b"title", "headers": PLAIN}, "UNSUPPORTED_MEDIA_TYPE"),
        ("PATCH", ITEM, {"content": b" " * 131_073, "headers": JSON}, "FILE_TOO_LARGE"),
        ("PATCH", ITEM, {"json": {}}, "VERSION_REQUIRED"),
        ("DELETE", ITEM, {"headers": NOT_A_TAG}, "VALIDATION_FAILED"),
    ],
)
async def test_the_error_examples_are_what_the_service_sends(
    client: httpx.AsyncClient,
    document: dict[str, Any],
    method: str,
    path: str,
    sent: dict[str, Any],
    code: str,
):
    image_id = (await upload(client))["id"] if path == ITEM else ""
    response = await client.request(method, path.format(id=image_id), **sent)
    responses = document["paths"][path][method.lower()]["responses"]
    content = responses[str(response.status_code)]["content"]["application/json"]
    example = content["examples"][code]["value"]
    assert response.json() | {"requestId": ""} == example | {"requestId": ""}


async def test_the_form_of_the_document_is_the_one_that_is_read(client: httpx.AsyncClient):
    response = await client.post("/images", data={"colour": "red"}, files={"file": b""})
    [detail] = response.json()["details"]
    read = detail["message"].partition("its fields are ")[2].split(", ")
    fields = {field.alias for field in ImageUpload.model_fields.values()}
    assert fields | {"tags[]"} == set(read)


async def test_every_example_fits_its_schema(document: dict[str, Any]):
    components = {"components": document["components"]}  # what the references point into
    checked = 0
    for path in document["paths"].values():
        for operation in path.values():
            for response in operation["responses"].values():
                for content in response.get("content", {}).values():
                    validator = Draft202012Validator({**content["schema"], **components})
                    for example in content.get("examples", {}).values():
                        validator.validate(example["value"])
                        checked += 1
    image = {"$ref": "#/components/schemas/Image", **components}
    Draft202012Validator(image).validate(IMAGE_EXAMPLE)
    assert checked > 40


async def test_operations_have_short_names_for_generators(document: dict[str, Any]):
    names = {
        operation["operationId"]
        for path in document["paths"].values()
        for operation in path.values()
    }
    assert names == {
        *("upload_image", "list_images", "get_image", "edit_image", "delete_image"),
        *("get_usage", "health", "live", "ready"),
    }


async def test_the_documented_schema_fits_an_answer(
    client: httpx.AsyncClient, document: dict[str, Any]
):
    image = await upload(client)
    schema = document["components"]["schemas"]["Image"]
    assert set(schema["properties"]) == set(schema["required"]) == set(image)
    page = (await client.get(IMAGES)).json()
    page_schema = document["components"]["schemas"]["ImagePage"]
    assert set(page_schema["required"]) == set(page)


GUIDES = (
    "/docs/getting-started",
    *(f"/docs/getting-started/{language}" for language in ("curl", "python", "typescript")),
    "/docs/errors",
)


@pytest.mark.parametrize("page", ["/docs", "/redoc", *GUIDES])
async def test_the_pages_load_nothing_from_another_host(anonymous: httpx.AsyncClient, page: str):
    response = await anonymous.get(page)
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    for source in re.findall(r'(?:\ssrc|<link [^>]*href)="([^"]+)"', response.text):
        if source.startswith("data:"):
            continue
        assert source.startswith("/")
        asset = await anonymous.get(source)
        assert asset.status_code == 200
        assert "cdn.redoc.ly/redoc/logo" not in asset.text
    policy = response.headers["content-security-policy"]
    assert "http" not in policy
    assert "script-src 'self';" in policy


async def test_the_guides_are_linked_and_their_links_lead_somewhere(
    anonymous: httpx.AsyncClient, document: dict[str, Any]
):
    linked = set(re.findall(r"\]\((/[^)]+)\)", document["info"]["description"]))
    assert {"/docs/getting-started", "/docs/errors"} <= linked
    pages = {path: (await anonymous.get(path)).text for path in GUIDES}
    for text in pages.values():
        linked |= set(re.findall(r'<a href="(/[^"]+)"', text))
    assert set(GUIDES) <= {link.partition("#")[0] for link in linked}
    for link in linked:
        path, _, heading = link.partition("#")
        assert (await anonymous.get(path)).status_code == 200
        assert not heading or f'id="{heading}"' in pages[path]


async def test_the_upload_is_shown_in_three_languages(document: dict[str, Any]):
    samples = document["paths"]["/images"]["post"]["x-codeSamples"]
    assert [sample["lang"] for sample in samples] == ["curl", "Python", "TypeScript"]
    for sample in samples:
        assert "IMAGES_TOKEN" in sample["source"]


async def test_a_browser_that_opens_the_service_is_led_to_the_docs(anonymous: httpx.AsyncClient):
    asked = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    for method in ("GET", "HEAD"):
        led = await anonymous.request(method, "/", headers=asked)
        assert (led.status_code, led.headers["location"]) == (307, "/docs")
    assert (await anonymous.get("/docs", headers=asked)).status_code == 200
    for accept in ("application/json", "*/*"):
        program = await anonymous.get("/", headers={"Accept": accept})
        assert (program.status_code, program.json()["code"]) == (404, "ROUTE_NOT_FOUND")
