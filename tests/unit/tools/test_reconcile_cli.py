"""`image-service reconcile`: the options it hands on, and its refusals."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from image_service.cli import cli
from image_service.settings import Settings
from image_service.telemetry import logging
from image_service.tools.reconcile import terminal as reconciling
from image_service.tools.reconcile.reconciler import Options, Reconciliation, TooManyOrphans

ENVIRONMENT = {
    "IMAGE_SERVICE_STAGE": "test",
    "IMAGE_SERVICE_TABLE_NAME": "ImageMetadata-dev",
    "IMAGE_SERVICE_BUCKET": "images-lego-moc-prod",
    "IMAGE_SERVICE_CDN_BASE_URL": "https://cdn.example",
    "IMAGE_SERVICE_COGNITO_ISSUER": "https://issuer.example",
    "IMAGE_SERVICE_COGNITO_CLIENT_IDS": "client",
}


@pytest.mark.parametrize(("options", "expected"), [((), None), (("--max-orphans", "12"), 12)])
def test_too_many_orphans_are_told_with_what_to_look_at(
    monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], expected: int | None
) -> None:
    given: list[Options] = []

    async def refuse(_: Settings, options: Options, __: Reconciliation, ___: Path | None) -> None:
        given.append(options)
        raise TooManyOrphans(orphans=10, files=40)

    monkeypatch.setattr(reconciling, "reconcile", refuse)
    # The tests' own logging would end with the runner's captured output.
    monkeypatch.setattr(logging, "configure_logging", lambda *_: None)

    ended = CliRunner().invoke(cli, ["reconcile", "--fix", *options], env=ENVIRONMENT)

    assert ended.exit_code == 2
    assert given[0].max_orphans == expected
    for said in ("10 of the first 40", "ImageMetadata-dev", "images-lego-moc-prod"):
        assert said in ended.stderr
    assert "--max-orphans" in ended.stderr
