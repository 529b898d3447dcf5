"""JSON from clients: the one reader for request bodies and for form fields that hold JSON."""

from __future__ import annotations

import json
from typing import Any, Final, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from image_service.domain.errors import MalformedBody, ValidationFailed

_MAX_FIELDS: Final = 50
_MAX_DIGITS: Final = 100  # Python refuses to read thousands
_BYTE_ORDER_MARK: Final = "\ufeff"

M = TypeVar("M", bound=BaseModel)


def read_json(text: bytes | str) -> Any:
    r"""Returns the value, with or without a byte-order mark before it, and without half characters.

    Programs that cut a text by UTF-16 units leave half an emoji at its end (`"\ud83d"`), which
    is valid JSON and no valid text. Raises ValueError, whose text is fit for the client.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode()
        text = text.removeprefix(_BYTE_ORDER_MARK)
        value = json.loads(text, parse_constant=_refuse, parse_int=_integer)
        whole = json.dumps(value, ensure_ascii=False)
        return value if whole.isascii() else json.loads(whole.encode(errors="ignore"))
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start + 1} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg}, line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def parse_json(body: bytes, model: type[M]) -> M:
    """The object in a request's body. Raises MalformedBody, ValidationFailed."""
    try:
        value = read_json(body)
    except ValueError as error:
        raise MalformedBody(f"The body can't be read as JSON: {error}; send one object.") from None
    if not isinstance(value, dict):
        raise ValidationFailed([("body", "must be a JSON object")])
    if len(value) > _MAX_FIELDS:
        # Each unknown one is an error of its own; thousands would take a tenth of a second.
        message = f"has {len(value)} fields; the limit is {_MAX_FIELDS}, send those you need"
        raise ValidationFailed([("body", message)])
    try:
        return model.model_validate(value)
    except ValidationError as error:
        all_found = error.errors(include_url=False, include_input=False)
    raise ValidationFailed(
        [(".".join(map(str, found["loc"])) or "body", found["msg"]) for found in all_found]
    )


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError(f"a number has {len(digits)} digits; the limit is {_MAX_DIGITS}")
    return int(digits)
