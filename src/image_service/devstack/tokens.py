"""Tokens that the local stack accepts; loads nothing of the stack itself, so that it is quick."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from image_service.devstack.issuer import LocalIssuer
from image_service.domain.images import is_user_id

# The issuer's name is fixed, so that a token outlives a restart.
ISSUER: Final = "https://issuer.image-service.localhost"
CLIENT_ID: Final = "local-client"


def local_token(state_dir: Path, user: str, ttl_seconds: int = 3600) -> str:
    """A token the local stack of `state_dir` accepts.

    Raises ValueError for a user id it would refuse, and where no stack ever ran.
    """
    if not is_user_id(user):
        raise ValueError("a user id is 1 to 128 letters, digits, '_', '.', ':', '@', '|' or '-'")
    return LocalIssuer.load(state_dir).token(
        user, issuer=ISSUER, client_id=CLIENT_ID, ttl_seconds=ttl_seconds
    )
