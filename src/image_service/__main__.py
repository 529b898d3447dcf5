"""Entry point of the command line, silent where Ctrl-C comes before a command has begun."""

from __future__ import annotations

import sys

_INTERRUPTED = 130  # as a shell and Typer say it


def main() -> None:
    try:
        from image_service.cli import cli as run  # noqa: PLC0415  # 0.1 s in which one may stop it
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    run()


if __name__ == "__main__":
    main()
