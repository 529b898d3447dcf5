"""`image-service reconcile`: the options it hands on, its refusals and its checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from image_service.cli import cli
from image_service.settings import Settings
from image_service.telemetry import logging
from image_service.tools.checkpoints import NotFinished
from image_service.tools.reconcile import terminal as reconciling
from image_service.tools.reconcile.findings import Finding, FindingKind
from image_service.tools.reconcile.reconciler import (
    Options,
    Part,
    Reconciliation,
    TooManyOrphans,
)

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


def half_done() -> Reconciliation:
    state = Reconciliation(fix=True)
    state.turn([Finding(FindingKind.ORPHANED_FILE, "images/ä.webp", "why", fixed=True)], 3, None)
    state.turn([Finding(FindingKind.WRONG_COUNTER, "user", "why")], 5, '{"PK": "a"}')
    return state


def test_a_checkpoint_is_what_the_run_was(tmp_path: Path) -> None:
    checkpoint, state = tmp_path / "checkpoint.json", half_done()
    checkpoint.write_text(state.model_dump_json(by_alias=True))

    read = reconciling.begun(checkpoint, fix=True)

    assert read == state
    assert (read.part, read.position, read.looked_at.total()) == (Part.ITEMS, '{"PK": "a"}', 8)
    read.turn([Finding(FindingKind.STUCK_DELETION, "image", "why")], 1, None)
    assert (read.done, read.found.total(), read.fixed.total()) == (True, 3, 1)
    assert reconciling.begun(tmp_path / "none.json", fix=True) == Reconciliation(fix=True)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'{"fix": true, "part": "walls"}'])
def test_what_is_no_checkpoint(tmp_path: Path, content: bytes) -> None:
    checkpoint = tmp_path / "holiday.json"
    checkpoint.write_bytes(content)
    with pytest.raises(NotFinished, match="is no checkpoint"):
        reconciling.begun(checkpoint, fix=True)


def test_a_report_is_no_checkpoint(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    reconciling.write_report(report, half_done())
    with pytest.raises(NotFinished, match="is no checkpoint"):
        reconciling.begun(report, fix=True)
