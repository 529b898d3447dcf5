"""Operator-facing diagnosis of failed HTTP requests."""

from __future__ import annotations

import socket
import ssl

import httpx


def what_failed(error: httpx.HTTPError) -> str:
    """By the error at the bottom of it; never the text, which may quote a URL's password."""
    causes = list(_causes(error))
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return "its name does not resolve"
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return "its TLS certificate is not valid for it"
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return "it does not speak TLS as it should"
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return "it refuses connections"
    if isinstance(error, httpx.TimeoutException):
        return "it does not respond in time"
    return f"it does not respond ({type(error).__name__})"


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in found:
        found.append(following)
        following = following.__cause__ or following.__context__
    return found
