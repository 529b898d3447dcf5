"""`image-service doctor` as it is typed, on a local stack with table and bucket of its own."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from tests import commands

from image_service.devstack import stack
from image_service.devstack.issuer import LocalIssuer
from image_service.domain.time_limits import TimeLimits
from image_service.settings import Settings
from image_service.tools.doctor.findings import Finding
from image_service.tools.doctor.runner import Check, Look, Systems, examine

NOBODY = "http://127.0.0.1:9"


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


def systems(
    *,
    production: bool = False,
    emulated: bool = False,
    times: TimeLimits | None = None,
    aws: Any = None,
    http: Any = None,
    **settings: Any,
) -> Systems:
    """Systems of a service with those settings; `aws` is the one client that a check uses."""
    required = {
        "stage": "test",
        "table_name": "test",
        "bucket": "bucket",
        "cdn_base_url": "https://localhost",
        "cognito_issuer": "http://issuer",
        "cognito_client_ids": frozenset({"c"}),
    }
    return Systems(
        settings=Settings(**(required | settings)),
        times=times or TimeLimits(),
        production=production,
        emulated=emulated,
        session=None,
        dynamodb=aws,
        s3=aws,
        cloudfront=aws,
        http=http,
    )


async def examined(look: Look, at: Systems) -> list[Finding]:
    """What the command makes of one check."""
    return await examine([Check("check", look)], at)


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
