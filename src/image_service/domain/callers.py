"""Callers: who sends a request, and how much they may send."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking, as the token says. `expires_at` in seconds since 1970."""

    user_id: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A limit and what is left of it; `reset_at` in seconds since 1970."""

    limit: int
    remaining: int
    reset_at: int
    allowed: bool
    description: str
