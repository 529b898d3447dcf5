"""The examples of docs/getting-started, as commands.

Python's are always run, all of them with IMAGE_SERVICE_TEST_EXAMPLES=all, as `make test-examples`
has it, which compiles TypeScript's; then what is missing fails.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parent.parent
_EXAMPLES = _ROOT / "examples"
_SECONDS = 200
_BLOCK = re.compile(
    r"(?:<!-- made from (\S+) -->\n\n)?^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE
)
TOURS = {
    "python": [sys.executable, str(_EXAMPLES / "python/tour.py")],
    "curl": ["bash", str(_EXAMPLES / "curl/tour.sh")],
    "typescript": ["node", str(_EXAMPLES / "typescript/build/tour.js")],
}
FIRST_UPLOADS = {
    "python": [sys.executable, str(_EXAMPLES / "python/upload.py")],
    "curl": ["sh", str(_EXAMPLES / "curl/upload.sh")],
    "typescript": ["node", str(_EXAMPLES / "typescript/build/upload.js")],
}


def languages() -> list[str]:
    """Those to run the examples in."""
    return list(TOURS) if os.environ.get("IMAGE_SERVICE_TEST_EXAMPLES") == "all" else ["python"]


def described() -> str:
    run = languages()
    missing = [language for language in TOURS if language not in run]
    rest = f"; {', '.join(missing)}: make test-examples" if missing else ""
    return f"examples: {', '.join(run)}{rest}"


def read(page: str) -> tuple[list[str], dict[str, str]]:
    """What the page has one type in, and what it has one copy, by the file it belongs to."""
    typed: list[str] = []
    copied: dict[str, str] = {}
    for source, language, text in _BLOCK.findall(
        (_ROOT / "docs/getting-started" / page).read_text()
    ):
        file = source.partition("#")[0]
        if not file:
            assert language == "sh"
            typed.append(text)
        elif Path(file).stem != "upload":
            copied[file] = copied.get(file, "") + text + "\n"
    return typed, copied


def follow(language: str, url: str, state_dir: Path, folder: Path) -> list[str]:
    """Do as the page says, word for word, in a checkout with a photo; the lines printed."""
    typed, copied = read(f"{language}.md")
    shutil.copytree(
        _EXAMPLES, folder / "examples", ignore=shutil.ignore_patterns("build", "node_modules")
    )
    for file, text in copied.items():
        (folder / file).write_text(text)
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / ".image-service").symlink_to(state_dir)
    script = "".join(typed)
    assert script.count("http://127.0.0.1:8000") == 1
    done = subprocess.run(
        ["/bin/sh", "-eu"],
        input=script.replace("http://127.0.0.1:8000", url),
        cwd=folder,
        env={**os.environ, "PATH": f"{sys.prefix}/bin{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


async def tour(language: str, url: str, token: str, photo: Path) -> list[str]:
    """The lines it prints; fails the test unless it ends well."""
    process = await asyncio.create_subprocess_exec(
        *TOURS[language],
        str(photo),
        env={**os.environ, "IMAGES_URL": url, "IMAGES_TOKEN": token},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), _SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode()
    return out.decode().splitlines()
