"""Checkpoints and reports of the commands that go through all that is stored."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel


class NotFinished(Exception):
    """The run could not begin or end; `lines` say why, and what to do about it."""

    def __init__(self, *lines: str) -> None:
        self.lines = lines
        super().__init__(*lines)


class Checkpoint(BaseModel):
    """The place of a run, and what it has done so far."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, extra="forbid")

    position: str | None = None
    done: bool = False

    def keep(self, path: Path | None) -> None:
        if path is not None:
            write_whole(path, self.model_dump_json(by_alias=True, indent=2))


C = TypeVar("C", bound=Checkpoint)


def begun(kind: type[C], checkpoint: Path | None) -> C | None:
    """The run that `checkpoint` describes; None where there is none, or it has been to its end.

    Raises NotFinished where the file is of something else.
    """
    if checkpoint is None or not checkpoint.exists():
        return None
    try:
        state = kind.model_validate_json(checkpoint.read_bytes())
    except ValidationError as error:
        raise NotFinished(f"{checkpoint} is no checkpoint of a {kind.__name__.lower()}") from error
    return None if state.done else state


def write_whole(path: Path, content: str) -> None:
    """All of it or nothing: a run may be interrupted at any moment."""
    draft = path.with_name(path.name + ".new")
    draft.write_text(content + "\n")
    draft.replace(path)
