"""The command line itself: quick to start, and plain in what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from jose import jws
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


@pytest.mark.parametrize(
    ("options", "claims"),
    [
        (["--user", "alice"], {"sub": "alice", "token_use": "id", "cognito:groups": None}),
        (
            ["--user", "root", "--group", "staff", "--group", "image-admins"],
            {"sub": "root", "token_use": "id", "cognito:groups": ["staff", "image-admins"]},
        ),
        (
            ["--machine"],
            {
                "sub": "main-api",
                "client_id": "main-api",
                "token_use": "access",
                "scope": "image-service/read image-service/write",
                "username": None,
                "aud": None,
            },
        ),
        (["--user", "batch", "--machine"], {"sub": "batch", "client_id": "batch"}),
    ],
)
def test_tokens(options: list[str], claims: dict[str, object], tmp_path: Path):
    issuer = LocalIssuer.load_or_create(tmp_path)
    printed = CliRunner().invoke(cli, ["token", *options, "--state-dir", str(tmp_path)])
    token, end = printed.stdout[:-1], printed.stdout[-1]
    assert (printed.exit_code, printed.stderr, end) == (0, "", "\n")
    found = json.loads(jws.verify(token, issuer.jwks(), algorithms=["RS256"]))
    assert {name: found.get(name) for name in claims} == claims


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "name the user with --user, or use --machine"),
        (["--group", "image-admins"], "name the user with --user, or use --machine"),
        (["--machine", "--group", "image-admins"], "a machine has no groups"),
        (["--machine", "--user", "../x"], "a user id is 1 to 128 letters"),
    ],
)
def test_tokens_of_nobody_are_refused(options: list[str], said: str, tmp_path: Path):
    LocalIssuer.load_or_create(tmp_path)
    refused = CliRunner().invoke(cli, ["token", *options, "--state-dir", str(tmp_path)])
    assert (refused.exit_code, refused.stdout) == (1, "")
    [line] = refused.stderr.splitlines()
    assert said in line
