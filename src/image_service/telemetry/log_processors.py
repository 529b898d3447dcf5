"""Log processors: applied to every line before it is rendered, whoever wrote it."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any, Final

from structlog.typing import EventDict, WrappedLogger

from image_service.domain.errors import ImageServiceError

_LONGEST_CAUSE: Final = 500  # characters; queries group by it, the traceback has the rest
_LONGEST_CHAIN: Final = 20

# Of nearly all text this finds nothing, at a tenth of the price of looking for the whole. `re`
# passes quickly over what the first set leaves out.
_MARK: Final = re.compile(
    r"(?=[xXbBA:])(?:[xX]-[aA][mM][zZ]-|[bB]earer|BEARER|[bB]asic|BASIC|AKIA|ASIA|://)"
)
# One group each, which stays. What AWS calls a wrong signature quotes all signed headers.
_SECRET: Final = re.compile(
    r"""((?i:x-amz-security-token)(?:["'\\]*\s*[:=]|["'\\]+\s*,)\s*(?:\\{0,3}b?\\{0,3}["'])?)[^\s"'\\&,;)]+"""
    r"""|((?i:bearer)\s+)[\w.~+/=%-]{8,}"""
    r"""|((?i:authorization)(?:["'\\]*\s*[:=]|["'\\]+\s*,)\s*(?:\\{0,3}b?\\{0,3}["'])?(?i:basic)\s+)[\w+/=]+"""
    r"""|(\b(?:AKIA|ASIA))[A-Z0-9]{12,}"""
    r"""|(://[^\s/@:]*:)[^\s/]+(?=@)"""
)
_NO_TEXT: Final = (int, float, type(None))
_HIDDEN: Final = r"\1\2\3\4\5[hidden]"


def flat_cause(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Give a failure a `cause` of one line, `Type: text`, to group and filter by.

    It is of the innermost exception of `exc_info`, or of the one that was given as `cause`.
    """
    error = event.get("cause") or _raised(event.get("exc_info"))
    if isinstance(error, BaseException):
        event["cause"] = _cause(error)
    return event


def hide_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Take credentials out of everything that is text, or is about to be."""
    try:
        # Nearly every line is flat and has nothing to hide: one look instead of one a field.
        texts = "\n".join([value for value in event.values() if not isinstance(value, _NO_TEXT)])
    except TypeError:  # what is neither text nor number
        texts = None
    if texts is not None and not _MARK.search(texts):
        return event
    return {name: _hidden(value) for name, value in event.items()}


def _raised(exc_info: Any) -> BaseException | None:
    """Of what logging takes for `exc_info`: True, an exception, or what `sys` says of it."""
    if isinstance(exc_info, BaseException):
        return exc_info
    found = exc_info if isinstance(exc_info, tuple) else sys.exc_info() if exc_info else (None,) * 3
    error: BaseException | None = found[1]
    return error


def _cause(error: BaseException) -> str:
    """Our own errors are translations; a timeout says nothing, a cancellation is its means."""
    chain = _chain(error)
    foreign = [one for one in chain if not isinstance(one, ImageServiceError)]
    failures = [one for one in foreign if isinstance(one, Exception)]
    telling = [one for one in failures if str(one)]
    cause = (telling or failures or chain)[-1]
    kind, text = type(cause).__name__, " ".join(str(cause).split())
    # Hidden before it is cut: half a secret would not be known for one.
    return _without_secrets(f"{kind}: {text}")[:_LONGEST_CAUSE] if text else kind


def _chain(error: BaseException) -> list[BaseException]:
    """Errors from the outermost to the innermost, as a traceback has them."""
    chain = [error]
    while len(chain) < _LONGEST_CHAIN:
        outer = chain[-1]
        inner = outer.__cause__ or (None if outer.__suppress_context__ else outer.__context__)
        if inner is None:
            break
        chain.append(inner)
    return chain


def _without_secrets(text: str) -> str:
    return _SECRET.sub(_HIDDEN, text) if _MARK.search(text) else text


def _hidden(value: Any) -> Any:
    if isinstance(value, str):
        return _without_secrets(value)
    if isinstance(value, _NO_TEXT):
        return value
    if isinstance(value, Mapping):
        return {name: _hidden(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_hidden(one) for one in value]
    return _hidden(repr(value))  # as it would be rendered
