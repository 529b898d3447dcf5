"""The command line: `image-service serve | dev | token | reconcile | rerender | doctor | openapi`.

Commands import what they need when they run, so that a token and the help are quick.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys
from contextlib import ExitStack, suppress
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
    Path, typer.Option(help="Where the local stack keeps what it has.", file_okay=False)
]
Local = Annotated[
    bool, typer.Option("--local", help="Work on the local stack that runs in --state-dir.")
]
Report = Annotated[Path | None, typer.Option(help="Write a JSON report there.")]
Resume = Annotated[Path | None, typer.Option(help="Keep track there, and go on from it.")]
_DEFAULT_STATE_DIR = Path(".image-service")
_DEMO_SECONDS = 7 * 86_400


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
    from image_service.pictures.confinement import hide_from_children
    from image_service.server.uvicorn_server import serve as run_server
    from image_service.settings import SettingsError
    from image_service.telemetry.logging import configure_logging

    settings = _settings_or_exit()
    try:
        aws_session()
    except SettingsError as error:
        _fail(*error.errors)
    _listener(settings.host, settings.port, "IMAGE_SERVICE_PORT").close()
    configure_logging(settings.log_level, settings.log_format, settings.stage)
    hide_from_children()
    run_server(settings)


@cli.command()
def dev(
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 lets phones in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 picks a free one.")] = 8000,
    state_dir: StateDir = _DEFAULT_STATE_DIR,
    *,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start from empty: forget all that was kept.")
    ] = False,
) -> None:
    """Run the whole service on embedded parts.

    No Docker, no AWS account. What it stores is kept, and there at the next start.
    """
    from image_service.devstack import stack
    from image_service.devstack.cdn import LocalCdn
    from image_service.devstack.emulator import started_emulator
    from image_service.devstack.state import LocalStackError, held
    from image_service.devstack.tokens import local_token

    if find_spec("ministack") is None:
        _fail("ministack is not installed; install image-service[local]")
    stack.only_local()
    with ExitStack() as running:
        try:
            state = running.enter_context(held(state_dir, fresh=fresh))
            emulator = running.enter_context(started_emulator(state=state))
            # Takes about as long as the emulator's start.
            from image_service.server.uvicorn_server import serve as run_server
            from image_service.telemetry import audit_log
            from image_service.telemetry.logging import configure_logging

            listener = running.enter_context(_listener(host, port, "--port", state.port))
            environment = stack.local_stack(state, emulator)
        except (LocalStackError, OSError) as error:
            _fail(str(error))
        port = listener.getsockname()[1]
        state.remember(port)
        base_url = stack.base_url(host, port)
        pictures = environment["IMAGE_SERVICE_CDN_BASE_URL"]
        environment["IMAGE_SERVICE_CDN_BASE_URL"] = base_url
        os.environ.update(environment, IMAGE_SERVICE_HOST=host, IMAGE_SERVICE_PORT=str(port))
        on_terminal = sys.stdout.isatty()
        for name, value in stack.default_settings(on_terminal=on_terminal).items():
            os.environ.setdefault(f"IMAGE_SERVICE_{name}", value)
        settings = _settings_or_exit()
        configure_logging(settings.log_level, settings.log_format, settings.stage)
        if on_terminal:  # the line of the request says it already
            logging.getLogger(audit_log.LOGGER).setLevel(logging.WARNING)
        demo_token = local_token(state_dir, "demo-user", _DEMO_SECONDS)
        header = state.write_private("auth.txt", f"Authorization: Bearer {demo_token}\n")

        def listening(_: str) -> None:
            state.announce(environment=environment)
            sys.stdout.write(stack.welcome(base_url, header, state_dir, _DEFAULT_STATE_DIR))
            sys.stdout.flush()  # a pipe would hold it back until the buffer is full

        run_server(
            settings, listening, listener=listener, around=lambda app: LocalCdn(app, pictures)
        )


def _use_running_stack(state_dir: Path) -> None:
    """Put the environment of the local stack that runs there into this process'."""
    from image_service.devstack import stack
    from image_service.devstack.state import LocalStackError, environment_of_running

    stack.only_local()
    try:
        os.environ.update(environment_of_running(state_dir))
    except LocalStackError as error:
        _fail(str(error), status=2)


def _listener(host: str, port: int, setting: str, last: int = 0) -> socket.socket:
    """Returns where the service listens; 0 is the port of the `last` run, or any free one."""
    from image_service.server.uvicorn_server import bind

    if not port and last:
        with suppress(OSError):
            return bind(host, last)
    try:
        return bind(host, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            _fail(f"port {port} is in use; stop what listens there, or set another: {setting}")
        _fail(f"can't listen on {host} ({error.strerror}); it must be an address of this machine")


@cli.command()
def token(
    user: Annotated[str | None, typer.Option(help="Becomes the token's `sub`.")] = None,
    ttl: Annotated[int, typer.Option(help="Seconds until it expires.", min=1)] = 3600,
    group: Annotated[list[str] | None, typer.Option(help="A group that the user is in.")] = None,
    *,
    machine: Annotated[
        bool, typer.Option("--machine", help="Of a machine, with all scopes; USER or main-api.")
    ] = False,
    state_dir: StateDir = _DEFAULT_STATE_DIR,
) -> None:
    """Print one token for the local stack.

    It lets in the machine main-api; the group image-admins are its administrators.
    """
    from image_service.devstack.tokens import local_token

    try:
        typer.echo(local_token(state_dir, user, ttl, groups=group or (), machine=machine))
    except (ValueError, OSError) as error:
        _fail(str(error))


@cli.command()
def reconcile(
    *,
    fix: Annotated[bool, typer.Option("--fix", help="Repair what is found.")] = False,
    report: Report = None,
    resume: Resume = None,
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
    rate: Annotated[float, typer.Option(help="Files and items per second.", min=1)] = 2_000,
    local: Local = False,
    state_dir: StateDir = _DEFAULT_STATE_DIR,
) -> None:
    """Compare files, items and counters.

    Goes from end to end; safe beside live traffic.
    Exits with 0 if nothing is wrong (any more), 1 if something is, 2 if it could not finish.
    """
    from datetime import timedelta

    from image_service.tools.checkpoints import NotFinished
    from image_service.tools.reconcile import terminal as reconciling
    from image_service.tools.reconcile.reconciler import Options

    settings = _settings_of_operator(state_dir if local else None)
    options = Options(min_age=timedelta(minutes=min_age), rate=rate, max_orphans=max_orphans)
    try:
        clean = reconciling.run(
            settings, options, fix=fix, checkpoint=resume, report=report, announce=not local
        )
    except NotFinished as error:
        _fail(*error.lines, status=2)
    raise typer.Exit(0 if clean else 1)


@cli.command()
def rerender(
    *,
    widths: Annotated[
        str | None,
        typer.Option(
            help="Pixels, such as 320,640,1280; or none.",
            show_default="IMAGE_SERVICE_RENDITION_WIDTHS",
        ),
    ] = None,
    rate: Annotated[float, typer.Option(help="Images changed per second.", min=0.01)] = 10,
    report: Report = None,
    resume: Resume = None,
    local: Local = False,
    state_dir: StateDir = _DEFAULT_STATE_DIR,
) -> None:
    """Bring stored images to the widths of today.

    Makes what is missing from the main picture, removes what is unwanted; safe beside live traffic.
    Exits with 0 if no image was left as it is, 1 if some were, 2 if it could not finish.
    """
    from image_service.tools.checkpoints import NotFinished
    from image_service.tools.rerender import terminal as rerendering

    settings = _settings_of_operator(state_dir if local else None)
    try:
        complete = rerendering.run(
            settings, widths, rate=rate, checkpoint=resume, report=report, audited=not local
        )
    except NotFinished as error:
        _fail(*error.lines, status=2)
    raise typer.Exit(0 if complete else 1)


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
    local: Local = False,
    state_dir: StateDir = _DEFAULT_STATE_DIR,
) -> None:
    """Check all that the service depends on.

    A line each, with the remedy where one is needed.
    Exits with 0 if nothing failed, 1 if something did, 2 if the settings can't be read.
    """
    from image_service.telemetry.logging import configure_logging
    from image_service.tools.doctor import terminal as doctoring

    if local:
        _use_running_stack(state_dir)
    configure_logging("critical", "json", "doctor")  # its lines say it, and may be JSON
    raise typer.Exit(doctoring.run(write=write, as_json=as_json))


@cli.command()
def openapi() -> None:
    """Print the OpenAPI document."""
    import json

    from image_service.api.openapi import document
    from image_service.app import create_app
    from image_service.domain.time_limits import TimeLimits
    from image_service.settings import Settings

    anywhere = Settings(
        stage="docs",
        table_name="docs",
        bucket="docs",
        cdn_base_url="https://localhost",
        cognito_issuer="https://localhost",
        cognito_client_ids=frozenset({"docs"}),
    )
    typer.echo(
        json.dumps(document(create_app(anywhere, TimeLimits())), indent=2, ensure_ascii=False)
    )


def _settings_of_operator(local: Path | None) -> Settings:
    """Settings for a command that works on the stores, and a log that says what fails."""
    from image_service.telemetry.logging import configure_logging

    if local is not None:
        _use_running_stack(local)
    settings = _settings_or_exit(status=2)
    configure_logging("warning", settings.log_format, settings.stage)
    return settings


def _settings_or_exit(status: int = 1) -> Settings:
    from image_service.settings import SettingsError, load_settings

    try:
        return load_settings()
    except SettingsError as error:
        _fail(*error.errors, status=status)


def _fail(*lines: str, status: int = 1) -> NoReturn:
    for line in lines:
        typer.echo(f"image-service: {line}", err=True)
    raise typer.Exit(status)
