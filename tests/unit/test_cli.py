"""The command line itself: quick to start, and plain in what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from image_service import __version__
from image_service.cli import cli
from image_service.devstack.issuer import LocalIssuer

COMMANDS = ("serve", "dev", "token", "reconcile", "rerender", "doctor", "openapi")
SLOW = ("aioboto3", "botocore", "fastapi", "pydantic", "pyvips", "redis", "rich", "uvicorn")


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["token", "--user", "alice"], ["dev", "--help"]]
)
def test_what_is_quick_loads_no_part_of_the_service(arguments: list[str], tmp_path: Path):
    LocalIssuer.load_or_create(tmp_path)
    if arguments[0] == "token":
        arguments = [*arguments, "--state-dir", str(tmp_path)]
    script = (
        "import sys; from image_service.cli import cli; cli(standalone_mode=False);"
        f"sys.exit(', '.join(name for name in {SLOW!r} if name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False
    )
    assert done.stdout
    assert done.stderr.strip() == ""


@pytest.mark.parametrize("module", ["image_service.cli", "logging", "typer", "typer.completion"])
def test_ctrl_c_is_silent_while_the_command_line_is_loaded(module: str):
    interrupted = f"""
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
from image_service.__main__ import main
sys.addaudithook(lambda event, values: event == "import" and values[0] == {module!r}
                 and os.kill(os.getpid(), signal.SIGINT))
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", interrupted, "--help"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_the_version():
    assert CliRunner().invoke(cli, ["--version"]).stdout == f"image-service {__version__}\n"


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_the_help_names_no_type_of_a_switch(command: tuple[str, ...]):
    shown = CliRunner().invoke(cli, [*command, "--help"])
    assert shown.exit_code == 0
    assert "bool" not in shown.stdout
    assert "..." not in shown.stdout.replace("[ARGS]...", "")  # nothing was cut off


def test_completion_can_be_installed():
    assert "--install-completion" in CliRunner().invoke(cli, ["--help"]).stdout


def test_no_token_where_no_stack_ran(tmp_path: Path):
    state_dir = tmp_path / "none"
    refused = CliRunner().invoke(cli, ["token", "--user", "alice", "--state-dir", str(state_dir)])
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.splitlines() == [
        f"image-service: no local stack has run in {state_dir}; start one: image-service dev"
    ]
    assert not state_dir.exists()
