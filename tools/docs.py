"""Generator of the generated docs, from the code and from the examples that run as tests.

    python -m tools.docs            writes it (`make docs`)
    python -m tools.docs --check    exits with 1 and names the files that are not current

A page keeps its prose; only what stands between `<!-- made from SOURCE -->` and `<!-- end -->`
is made again.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from runpy import run_path
from typing import Any

from typer.testing import CliRunner

from image_service.api.error_table import TABLE
from image_service.api.errors import envelope
from image_service.api.schemas import IMAGE_EXAMPLE
from image_service.cli import cli
from image_service.settings import ENV_PREFIX, Settings
from tools.guides import GUIDES, guide_file, rendered

ROOT = Path(__file__).parent.parent
OPENAPI = Path("docs/openapi.json")
CODE_SAMPLES = Path("src/image_service/api/static/code-samples.json")
SAMPLES = {
    "curl": Path("examples/curl/upload.sh"),
    "Python": Path("examples/python/upload.py"),
    "TypeScript": Path("examples/typescript/upload.ts"),
}
PAGES = (
    Path("docs/errors.md"),
    Path("docs/getting-started.md"),
    Path("docs/getting-started/curl.md"),
    Path("docs/getting-started/python.md"),
    Path("docs/getting-started/typescript.md"),
    Path("docs/settings.md"),
)
REMEDY = "is not what the code and the examples make it: run `make docs` and commit the result"

_BLOCK = re.compile(r"(<!-- made from (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
_LANGUAGES = {".py": "python", ".sh": "sh", ".ts": "ts"}


def made() -> dict[Path, str]:
    """Every generated file, by its path in the repository, as it should be."""
    document = openapi()
    tables = {
        "error-table": "\n".join(error_table()),
        "error-samples": "\n\n".join(error_samples(json.loads(document))),
        "settings-table": "\n".join(settings_table()),
        "html-tile": html("tile"),
        "html-whole": html("whole"),
        "html-picture": html("cover"),
    }
    pages = {page: filled((ROOT / page).read_text(), tables) for page in PAGES}
    served = {guide_file(page): rendered(page, pages[page]) for page in GUIDES}
    return {CODE_SAMPLES: code_samples(), OPENAPI: document, **pages, **served}


def stale() -> dict[Path, str]:
    """Those that are not as they should be, and how they should."""

    def is_current(path: Path, text: str) -> bool:
        return (ROOT / path).exists() and (ROOT / path).read_text() == text

    return {path: text for path, text in made().items() if not is_current(path, text)}


def openapi() -> str:
    """Returns what `image-service openapi` prints."""
    return CliRunner().invoke(cli, ["openapi"], catch_exceptions=False).stdout


def code_samples() -> str:
    """The first upload in three languages, which the document shows beside the route."""
    samples = [
        {"lang": language, "label": language, "source": (ROOT / path).read_text()}
        for language, path in SAMPLES.items()
    ]
    return json.dumps(samples, indent=2) + "\n"


def html(function: str) -> str:
    """Returns what a function of the examples makes of the document's image."""
    shown = run_path(str(ROOT / "examples/python/picture.py"))[function](IMAGE_EXAMPLE)
    broken = re.sub(r" (srcset|sizes|width|alt|style)=", r"\n     \1=", shown)
    broken = re.sub(r"(?<=>)(?=<)", "\n", broken).replace("w, http", "w,\n             http")
    return f"```html\n{broken}\n```"


def filled(page: str, tables: Mapping[str, str]) -> str:
    """The page with its blocks made again. Raises KeyError, OSError for an unknown source."""

    def block(found: re.Match[str]) -> str:
        source = found[2]
        text = tables[source] if source in tables else quoted(source)
        return f"{found[1]}\n{text}\n\n{found[3]}"

    return _BLOCK.sub(block, page)


def quoted(source: str) -> str:
    """`path#region` as a code block; `path` alone is the whole file."""
    name, _, wanted = source.partition("#")
    path = ROOT / name
    text = region(path.read_text(), wanted) if wanted else path.read_text()
    return f"```{_LANGUAGES[path.suffix]}\n{text.strip()}\n```"


def region(text: str, name: str) -> str:
    """Returns what stands between the comments `region: NAME` and `endregion`. Raises KeyError."""
    marks = rf"^(?:#|//) region: {name}\n(.*?)^(?:#|//) endregion$"
    found = re.search(marks, text, re.DOTALL | re.MULTILINE)
    if found is None:
        raise KeyError(name)
    return found[1]


def error_table() -> Iterator[str]:
    yield "| status | error | code | when | retry? | what to do |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for row in TABLE.values():
        advice = f"{row.when} | {row.retry} | {row.remedy}"
        yield f"| {row.status} | {row.error} | `{row.sample.code}` | {advice} |"


def error_samples(document: dict[str, Any]) -> Iterator[str]:
    """The first example of each in the document; of those that belong to no route, the table's."""
    examples = [
        (int(status), example["value"])
        for path in document["paths"].values()
        for operation in path.values()
        for status, response in operation["responses"].items()
        for content in response.get("content", {}).values()
        for example in content.get("examples", {}).values()
    ]
    request_id = examples[0][1]["requestId"]
    for row in TABLE.values():
        wanted = (row.status, row.sample.code)
        found = (sample for status, sample in examples if (status, sample["code"]) == wanted)
        sample = next(found, envelope(row.sample, request_id))
        shown = json.dumps(sample, indent=2, ensure_ascii=False)
        yield f"### {row.status} {row.sample.code}\n\n```json\n{shown}\n```"


def settings_table() -> Iterator[str]:
    yield "| variable | default | values | |"
    yield "| --- | --- | --- | --- |"
    schema = Settings.model_json_schema()
    for name, field in schema["properties"].items():
        default = "required" if name in schema["required"] else default_of(name, field)
        text = " ".join(field["description"].split())
        yield f"| `{ENV_PREFIX}{name.upper()}` | {default} | {values_of(field)} | {text} |"


def default_of(name: str, field: Mapping[str, Any]) -> str:
    default = field.get("default")
    if not default and not isinstance(default, int | float):
        return "none"
    if isinstance(default, list):
        return f"`{','.join(map(str, default))}`"
    if name.endswith("_bytes"):
        return f"`{default}` ({default // 1024**2} MiB)"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def values_of(field: Mapping[str, Any]) -> str:
    """The values a setting may have, by its JSON schema; empty where its text says it."""
    if field.get("type") == "array":
        return "separated by commas"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    bounds = {**field, **next(iter(field.get("anyOf", ())), {})}
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most"}
    return ", ".join(f"{word} {bounds[key]}" for key, word in words.items() if key in bounds)


def main(arguments: list[str]) -> int:
    if arguments == ["--check"]:
        outdated = stale()
        sys.stderr.writelines(f"{path} {REMEDY}\n" for path in outdated)
        return 1 if outdated else 0
    while outdated := stale():  # twice where samples change, which the document shows
        for path, text in outdated.items():
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
