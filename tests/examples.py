"""The examples of docs/getting-started.md, as commands.

Python's are always run, those in curl where jq and a curl that is new enough are there. All are
with IMAGE_SERVICE_TEST_EXAMPLES=all, as `make test-examples` has it once it has compiled
TypeScript's; then what is missing fails.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

_EXAMPLES = Path(__file__).parent.parent / "examples"
_OLDEST_CURL = (7, 84)  # knows %header{}
_SECONDS = 90
TOURS = {
    "python": [sys.executable, str(_EXAMPLES / "python/tour.py")],
    "curl": ["bash", str(_EXAMPLES / "curl/tour.sh")],
    "typescript": ["node", str(_EXAMPLES / "typescript/build/tour.js")],
}
FIRST_UPLOAD = _EXAMPLES / "curl/upload.sh"


def _has_curl() -> bool:
    if not all(map(shutil.which, ("bash", "curl", "jq"))):
        return False
    version = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True)
    found = re.match(r"curl (\d+)\.(\d+)", version.stdout)
    return found is not None and (int(found[1]), int(found[2])) >= _OLDEST_CURL


def languages() -> list[str]:
    """Those to run the examples in."""
    if os.environ.get("IMAGE_SERVICE_TEST_EXAMPLES") == "all":
        return list(TOURS)
    return ["python", "curl"] if _has_curl() else ["python"]


def described() -> str:
    run = languages()
    missing = [language for language in TOURS if language not in run]
    rest = f"; {', '.join(missing)}: make test-examples" if missing else ""
    return f"examples: {', '.join(run)}{rest}"


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
