"""The generated docs: current, and without code that is not run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import fields
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from tools import docs, guides

from image_service.api.schemas import IMAGE_EXAMPLE
from image_service.domain import time_limits
from image_service.domain.time_limits import TimeLimits
from image_service.settings import Settings

GENERATED = re.compile(r"<!-- made from \S+ -->.*?<!-- end -->", re.DOTALL)
LANGUAGES = ("curl", "python", "typescript")
CODE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)#?([^)\s]*)\)")


def test_what_is_generated_is_current():
    assert [f"{path} {docs.REMEDY}" for path in docs.stale()] == []


@pytest.mark.parametrize(("page", "blocks"), [*((name, 10) for name in LANGUAGES), ("", 3)])
def test_the_code_on_a_page_is_that_of_the_examples(repository_root: Path, page: str, blocks: int):
    path = f"docs/getting-started/{page}.md" if page else "docs/getting-started.md"
    text = (repository_root / path).read_text()
    assert len(GENERATED.findall(text)) == blocks
    assert set(re.findall(r"^```(\w+)$", GENERATED.sub("", text), re.MULTILINE)) <= {"sh"}


def test_a_guide_links_to_guides_and_to_nothing_that_is_not_served():
    text = (
        "<!-- made from x -->\n# A & B\n\n## What's this?\n\n"
        "[a](curl.md) [b](../errors.md#x) [c](../../examples/) [d](https://example.com) [e](#x)\n"
    )
    html = guides.rendered(Path("docs/getting-started/python.md"), text)
    assert "<title>Image Service: A &amp; B</title>" in html
    assert '<h2 id="whats-this">' in html
    assert "made from" not in html
    assert re.findall(r'href="(.*?)"', html.partition("<main>")[2]) == [
        *("/docs/getting-started/curl", "/docs/errors#x", "https://example.com", "#x"),
    ]
    assert " c " in html


def test_a_block_is_made_anew_and_its_page_left_alone():
    page = "# Title\n\n<!-- made from a-table -->\nold\n<!-- end -->\n\nProse.\n"
    assert docs.filled(page, {"a-table": "new"}) == (
        "# Title\n\n<!-- made from a-table -->\n\nnew\n\n<!-- end -->\n\nProse.\n"
    )


def test_a_source_that_is_not_there_is_an_error():
    with pytest.raises(KeyError, match="nowhere"):
        docs.quoted("examples/curl/tour.sh#nowhere")


def test_every_setting_is_described():
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_the_readme_is_short(repository_root: Path):
    assert len((repository_root / "README.md").read_text().splitlines()) <= 90


def test_links_in_the_docs_lead_to_files_and_headings(repository_root: Path):
    pages = [*repository_root.glob("*.md"), *(repository_root / "docs").rglob("*.md")]
    assert len(pages) > 40
    assert [lost for page in pages for lost in lost_links(page)] == []


def lost_links(page: Path) -> Iterator[str]:
    for path, heading in LINK.findall(CODE.sub("", page.read_text())):
        target = page.parent / path if path else page
        if not target.exists() or (heading and heading not in anchors(target)):
            yield f"{page.name}: {path}#{heading}"


def anchors(page: Path) -> set[str]:
    """Those GitHub gives to headings."""
    headings = re.findall(r"^#+ (.*)$", CODE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


def test_the_response_in_the_readme_is_one_in_part(repository_root: Path):
    readme = (repository_root / "README.md").read_text()
    [shown] = re.findall(r"^```json\n(.*?)^```$", readme, re.DOTALL | re.MULTILINE)
    image = json.loads(shown)
    assert set(image) < set(IMAGE_EXAMPLE)
    assert {key: type(value) for key, value in image.items()} == {
        key: type(IMAGE_EXAMPLE[key]) for key in image
    }


TIME_LIMIT = re.compile(r"^\| .+ \| ([\d.]+) s \| `(.+)` \|$", re.MULTILINE)


def test_the_time_limits_are_those_of_the_code(repository_root: Path):
    rows = TIME_LIMIT.findall((repository_root / "docs/architecture.md").read_text())
    timed = {name for name in Settings.model_fields if re.search(r"timeout|deadline|second", name)}
    places = {place for _, place in rows}
    assert {name.upper() for name in timed} <= places
    constants = {f"domain.time_limits:{name}" for name in constant_times()}
    assert places - {"domain.uploads:CLAIM_LEASE"} == constants | {
        place for place in places if place.isupper() or place.startswith("terraform/")
    }
    assert {place: float(limit) for limit, place in rows} == {
        place: limit_at(repository_root, place) for _, place in rows
    }


def constant_times() -> Iterator[str]:
    """Those that bear on a request: no pace, and nothing of the worker."""
    for name in vars(time_limits):
        if name == "AWS_READ":
            yield from (f"{name}.{service}" for service in ("dynamodb", "s3"))
        elif name.isupper():
            yield name
    others = {"upload_min_rate", "outbox_poll"}
    yield from (f"TimeLimits.{each.name}" for each in fields(TimeLimits) if each.name not in others)


def limit_at(root: Path, place: str) -> float:
    """Seconds, by the name of a setting, of an attribute of a module or of a Terraform argument."""
    home, _, name = place.partition(":")
    if not name:
        return float(Settings.model_fields[home.lower()].default)
    if home.endswith(".tf"):
        [value] = re.findall(rf"\b{name}\s*= (\d+)\b", (root / home).read_text())
        return float(value)
    found: Any = import_module(f"image_service.{home}")
    for part in name.split("."):
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    return found.total_seconds() if isinstance(found, timedelta) else float(found)
