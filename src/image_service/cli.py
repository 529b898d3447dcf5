"""The command line: `image-service serve | dev | token | reconcile | doctor | openapi`.

Commands import what they need when they run, so that a token and the help are quick.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from image_service.settings import Settings

cli = typer.Typer(
    help="A self-hosted image service.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # takes 0.2 s, and says <bool> of a switch
)

StateDir = Annotated[
    Path, typer.Option(help="Where the local issuer keeps its key.", file_okay=False)
]
_DEFAULT_STATE_DIR = Path(".image-service")


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - as Typer calls it
    from image_service import __version__

    if wanted:
        typer.echo(f"image-service {__version__}")
        raise typer.Exit


@cli.callback()
def _options(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None: ...


@cli.command()
def serve() -> None:
    """Run the production server.

    Settings come from IMAGE_SERVICE_* variables.
    """
    from image_service.bootstrap import aws_session
    from image_service.server.uvicorn_server import serve as run_server
    from image_service.settings import SettingsError
    from image_service.telemetry.logging import configure_logging

    settings = _settings_or_exit()
    try:
        aws_session()
    except SettingsError as error:
        _fail(*error.faults)
    configure_logging(settings.log_level, settings.log_format, settings.stage)
    run_server(settings)


@cli.command()
def dev(
    host: Annotated[
        str, typer.Option(help="Address to listen on, and that pictures are opened at.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 picks a free one.")] = 8000,
    state_dir: StateDir = _DEFAULT_STATE_DIR,
) -> None:
    """Run the whole service on embedded parts.

    No Docker, no AWS account.
    """
    from image_service.devstack import stack
    from image_service.devstack.tokens import local_token
    from image_service.server.uvicorn_server import serve as run_server
    from image_service.telemetry.logging import configure_logging

    if find_spec("ministack") is None:
        _fail("ministack is not installed; install image-service[local]")
    for name in stack.FOREIGN_AWS_VARIABLES:
        os.environ.pop(name, None)
    os.environ.update(stack.WITHOUT_PROXY)
    with stack.local_stack(state_dir, host) as environment:
        os.environ.update(environment)
        os.environ.update(IMAGE_SERVICE_HOST=host, IMAGE_SERVICE_PORT=str(port))
        os.environ.setdefault(
            "IMAGE_SERVICE_LOG_FORMAT", "console" if sys.stdout.isatty() else "json"
        )
        # No load balancer has to notice that it goes.
        os.environ.setdefault("IMAGE_SERVICE_DRAIN_SECONDS", "0")
        settings = _settings_or_exit()
        configure_logging(settings.log_level, settings.log_format, settings.stage)
        demo_token = local_token(state_dir, "demo-user")
        run_server(settings, on_listening=lambda url: _welcome(url, demo_token, state_dir))


@cli.command()
def token(
    user: Annotated[str, typer.Option(help="Becomes the token's `sub`.")],
    ttl: Annotated[int, typer.Option(help="Seconds until it expires.", min=1)] = 3600,
    state_dir: StateDir = _DEFAULT_STATE_DIR,
) -> None:
    """Print one token for the local stack."""
    from image_service.devstack.tokens import local_token

    try:
        typer.echo(local_token(state_dir, user, ttl))
    except (ValueError, OSError) as error:
        _fail(str(error))


@cli.command()
def reconcile(
    *,
    fix: Annotated[bool, typer.Option("--fix", help="Mend what is found.")] = False,
    report: Annotated[Path | None, typer.Option(help="Write a JSON report there.")] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Keep track there, and go on from where it says.")
    ] = None,
    min_age: Annotated[
        float, typer.Option(help="Minutes; what is younger is left alone.", min=5)
    ] = 60,
    max_orphans: Annotated[
        int | None,
        typer.Option(
            help="Remove up to so many files without an image.",
            min=0,
            show_default="a fifth of those looked at",
        ),
    ] = None,
    rate: Annotated[float, typer.Option(help="Files and items a second.", min=1)] = 2_000,
) -> None:
    """Compare files, items and counters.

    Goes from end to end; safe beside live traffic.
    Exits with 0 if nothing is wrong (any more), 1 if something is, 2 if it could not finish.
    """
    import asyncio
    from datetime import timedelta

    from rich.console import Console

    from image_service.domain.errors import DependencyUnavailable
    from image_service.settings import SettingsError
    from image_service.telemetry.logging import configure_logging
    from image_service.tools.reconcile import terminal as reconciling
    from image_service.tools.reconcile.reconciler import Audit, Care, TooManyOrphans

    settings = _settings_or_exit(status=2)
    configure_logging("warning", settings.log_format, settings.stage)
    try:
        audit = reconciling.read_checkpoint(resume) if resume and resume.exists() else None
    except ValueError as error:
        _fail(str(error), status=2)
    if audit is None or audit.done:
        audit = Audit(fix=fix)
    elif audit.fix != fix:
        _fail(f"{resume} is of a run {'with' if audit.fix else 'without'} --fix", status=2)
    care = Care(min_age=timedelta(minutes=min_age), rate=rate, max_orphans=max_orphans)
    try:
        asyncio.run(reconciling.reconcile(settings, care, audit, resume))
    except SettingsError as error:
        _fail(*error.faults, status=2)
    except DependencyUnavailable:
        again = f"; repeat the command to go on ({resume})" if resume else ""
        _fail(f"a store is not answering; see the log above{again}", status=2)
    except TooManyOrphans as refused:
        _fail(
            f"{refused.orphans} of the first {refused.files} files have no image: "
            f"is {settings.table_name} the table of {settings.bucket}, and all there? "
            "A run without --fix lists them; "
            "if they may go, give --max-orphans as many as it found",
            status=2,
        )
    reconciling.print_summary(audit, Console())
    if report is not None:
        reconciling.write_report(report, audit)
    raise typer.Exit(0 if audit.clean else 1)


@cli.command()
def doctor(
    *,
    write: Annotated[
        bool,
        typer.Option(
            "--write",
            help="Also write to table, bucket and Redis, fetch a picture, and clear it away.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check all that the service depends on.

    A line each, with the remedy where one is needed.
    Exits with 0 if nothing failed, 1 if something did, 2 if the settings can't be read.
    """
    import asyncio

    from rich.console import Console

    from image_service.telemetry.logging import configure_logging
    from image_service.tools.doctor import terminal as doctoring

    configure_logging("critical", "json", "doctor")  # its lines say it, and may be JSON
    try:
        findings, status = asyncio.run(doctoring.examine(write=write)), None
    except doctoring.Unreadable as error:
        findings, status = error.findings, 2
    if as_json:
        typer.echo(doctoring.to_json(findings))
    else:
        doctoring.print_lines(findings, Console())
    raise typer.Exit(status or (0 if doctoring.is_healthy(findings) else 1))


@cli.command()
def openapi() -> None:
    """Print the OpenAPI document."""
    import json

    from image_service.api.document.openapi import document
    from image_service.app import create_app
    from image_service.settings import Settings

    anywhere = Settings(
        stage="docs",
        table_name="docs",
        bucket="docs",
        cdn_base_url="https://localhost",
        cognito_issuer="https://localhost",
        cognito_client_ids=frozenset({"docs"}),
    )
    typer.echo(json.dumps(document(create_app(anywhere)), indent=2, ensure_ascii=False))


def _settings_or_exit(status: int = 1) -> Settings:
    from image_service.settings import SettingsError, load_settings

    try:
        return load_settings()
    except SettingsError as error:
        _fail(*error.faults, status=status)


def _fail(*lines: str, status: int = 1) -> NoReturn:
    for line in lines:
        typer.echo(f"image-service: {line}", err=True)
    raise typer.Exit(status)


def _welcome(url: str, demo_token: str, state_dir: Path) -> None:
    url = url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
    # Flushed, because a pipe would hold it back until the buffer is full.
    sys.stdout.write(f"""
  The image service is running, on embedded parts.

  Docs      {url}/docs
  Upload    put the path of a photo in place of photo.jpg:

curl -sS {url}/images -H 'Authorization: Bearer {demo_token}' -F file=@photo.jpg

  Then open the imageUrl and thumbnailUrl of the answer in a browser.
  Another token:  {sys.argv[0]} token --user USER{_state_option(state_dir)}
  Stop with Ctrl-C; pictures are kept until then.

""")
    sys.stdout.flush()


def _state_option(state_dir: Path) -> str:
    return "" if state_dir == _DEFAULT_STATE_DIR else f" --state-dir {state_dir}"


def main() -> None:
    cli()
