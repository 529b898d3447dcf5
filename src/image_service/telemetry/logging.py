"""Structured logs on stdout: a JSON object a line, or coloured text on a terminal.

Everything goes through one chain, the logs of uvicorn and of the libraries included, so
that every line has the same shape, carries the id of the request it belongs to, and has no
secrets.
"""

from __future__ import annotations

import logging
import logging.config
import re
import sys
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from image_service.domain.errors import ImageServiceError
from image_service.telemetry import audit_log
from image_service.telemetry.log_output import LogOutput

LogFormat = Literal["json", "console"]

_ACCESS = "image_service.access"
_LEVELS = {
    # They log what requests hold: signed headers, urls, bytes of a malformed body.
    **dict.fromkeys(("botocore", "aiobotocore", "httpx", "httpcore", "pyvips"), "WARNING"),
    "python_multipart": "ERROR",
    # Who changed what is written at any level of the rest, and so are the requests: alarms
    # count them.
    **dict.fromkeys((audit_log.LOGGER, _ACCESS), "INFO"),
}
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

log = structlog.stdlib.get_logger(__name__)


def configure_logging(level: str, log_format: LogFormat, stage: str) -> None:
    """Set up structlog and the standard library's logging; call once, at start."""

    def add_stage(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {"stage": stage, **event}

    shared: list[Processor] = [
        add_stage,
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    of_libraries = [*shared, structlog.stdlib.ExtraAdder(), _drop_color_message]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        # structlog's own looks through the stack for who logs, which no line says.
        logger_factory=logging.getLogger,
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "structured": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "foreign_pre_chain": of_libraries,
                    "processors": _renderers(log_format),
                }
            },
            "handlers": {
                "stdout": {
                    "()": LogOutput,
                    "stream": "ext://sys.stdout",
                    "formatter": "structured",
                }
            },
            "root": {"handlers": ["stdout"], "level": level.upper()},
            "loggers": {name: {"level": least} for name, least in _LEVELS.items()},
        }
    )


def log_what_python_prints() -> None:
    """Have warnings, and exceptions that nobody handles, go the way of all lines.

    Of the whole process, so for those who own it.
    """
    logging.captureWarnings(True)

    def uncaught(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if issubclass(kind, KeyboardInterrupt):
            return
        log.critical("uncaught_exception", exc_info=(kind, error, trace))

    def unraisable(args: sys.UnraisableHookArgs) -> None:
        if args.exc_value is not None:
            log.error("unraisable_exception", exc_info=args.exc_value)

    def in_a_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
            log.error("uncaught_exception", exc_info=args.exc_value)

    sys.excepthook = uncaught
    sys.unraisablehook = unraisable
    threading.excepthook = in_a_thread


def _drop_color_message(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Uvicorn says everything twice, the second time in colour."""
    event.pop("color_message", None)
    return event


def _renderers(log_format: LogFormat) -> list[Processor]:
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    # Tracebacks without local variables: those hold tokens and file content.
    if log_format == "console":
        text = structlog.processors.ExceptionRenderer()
        return [remove_meta, flat_cause, text, hide_secrets, _for_a_terminal()]
    tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    return [
        remove_meta,
        flat_cause,
        structlog.processors.ExceptionRenderer(tracebacks),
        hide_secrets,
        structlog.processors.JSONRenderer(),
    ]


def _for_a_terminal() -> Processor:
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)

    def render(logger: WrappedLogger, method: str, event: EventDict) -> str:
        if event.get("logger") == _ACCESS:
            return _access_line(event)
        return plain(logger, method, event)

    return render


def _access_line(event: EventDict) -> str:
    """A request as a person reads it: `POST /images 201 1.4 s`."""
    took = event["duration_ms"]
    time = f"{took / 1000:.1f} s" if took >= 1000 else f"{took:.0f} ms"  # noqa: PLR2004 - a second
    route, code = event["route"] or "(no such route)", event["code"]
    meant = f"{event['method']} {route}" if event["method"] else "(no request)"  # of a refusal
    return " ".join([meant, str(event["status"]), time, *([code] if code else [])])


def flat_cause(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Give a failure a `cause` of one line, `Type: text`, to group and filter by.

    It is of the innermost exception of `exc_info`, or of the one that was given as `cause`.
    """
    error, exc_info = event.get("cause"), event.get("exc_info")
    if exc_info and not error:
        error = _raised(exc_info)
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
    error: BaseException | None = (exc_info if isinstance(exc_info, tuple) else sys.exc_info())[1]
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
