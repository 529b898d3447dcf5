"""`image-service doctor` as it is typed, on a local stack with table and bucket of its own."""

from __future__ import annotations

import os
from typing import NamedTuple

from tests import commands

from image_service.devstack import stack
from image_service.devstack.issuer import LocalIssuer
from image_service.tools.doctor.diagnosis import Diagnosis
from image_service.tools.doctor.service import Doctor, SystemCheck

NOBODY = "http://127.0.0.1:9"
OF_THE_EMULATOR = {"bucket access", "bucket versioning", "bucket lifecycle"}


class Told(NamedTuple):
    """What the command said; `lines` by check, each with its mark."""

    status: int
    lines: dict[str, str]
    out: str

    def failed(self) -> set[str]:
        return {check for check, line in self.lines.items() if line.startswith("✗")}

    def warned(self) -> set[str]:
        return {check for check, line in self.lines.items() if line.startswith("!")}

    def only_aws(self) -> set[str]:
        """What is missing, and of no use on an emulator: all of it in one line."""
        listed = self.lines.get("only on AWS", "").partition("only on AWS")[2]
        return set(listed.strip().split(", "))


async def local_stack(emulator: str, issuer: LocalIssuer, unique: str) -> dict[str, str]:
    """Makes table and bucket; what the command is to have for its environment."""
    names = {
        "IMAGE_SERVICE_TABLE_NAME": f"Doctor-{unique}",
        "IMAGE_SERVICE_BUCKET": f"doctor-{unique}",
    }
    await stack.provision(
        emulator,
        issuer,
        table_name=names["IMAGE_SERVICE_TABLE_NAME"],
        bucket=names["IMAGE_SERVICE_BUCKET"],
    )
    return {
        **os.environ,
        **stack.WITHOUT_PROXY,
        **stack.aws_environment(emulator),
        **stack.service_environment(emulator),
        **names,
        "IMAGE_SERVICE_CDN_BASE_URL": f"{emulator}/{names['IMAGE_SERVICE_BUCKET']}",
    }


async def examined(check: SystemCheck) -> list[Diagnosis]:
    """What the command makes of one check."""
    return await Doctor([check]).examine()


async def run(environment: dict[str, str], *options: str) -> tuple[int, str]:
    ended = await commands.run(environment, "doctor", *options)
    assert ended.err == ""
    return ended.status, ended.out


async def doctor(environment: dict[str, str], *options: str) -> Told:
    status, out = await run(environment, *options)
    lines: dict[str, str] = {}
    for line in out.splitlines():
        mark, _, rest = line.partition(" ")
        assert mark in {"✓", "!", "✗", "·"}, line
        assert ("→" in line) == (mark in {"!", "✗"}), line  # a remedy exactly where one is needed
        check = rest.split("  ")[0]
        lines[check] = line if check not in lines else f"{lines[check]}\n{line}"
    return Told(status, lines, out)
