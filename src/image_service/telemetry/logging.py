"""Structured logs on stdout: a JSON object a line, or coloured text on a terminal.

Everything goes through one chain, the logs of uvicorn and of the libraries included, so
that every line has the same shape and carries the id of the request it belongs to.
"""

from __future__ import annotations

import logging
import logging.config
import sys
import threading
from types import TracebackType
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from image_service.telemetry import audit_log
from image_service.telemetry.log_output import LogOutput
from image_service.telemetry.log_processors import flat_cause, hide_secrets

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
        logger_factory=structlog.stdlib.LoggerFactory(),
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
