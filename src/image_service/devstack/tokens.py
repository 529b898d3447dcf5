"""Tokens that the local stack accepts; loads nothing of the stack itself, so that it is quick."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from image_service.devstack.issuer import LocalIssuer
from image_service.domain.images import USER_ID_RULE, is_user_id

# The issuer's name is fixed, so that a token outlives a restart.
ISSUER: Final = "https://issuer.image-service.localhost"
CLIENT_ID: Final = "local-client"
# Who else is let in, unless the environment of `dev` says otherwise.
MACHINE: Final = "main-api"
SCOPE_PREFIX: Final = "image-service"
SCOPES: Final = (f"{SCOPE_PREFIX}/read", f"{SCOPE_PREFIX}/write")
ADMIN_GROUP: Final = "image-admins"


def local_token(
    state_dir: Path,
    user: str | None,
    ttl_seconds: int = 3600,
    *,
    groups: Sequence[str] = (),
    machine: bool = False,
) -> str:
    """A token the local stack of `state_dir` accepts, as far as it lets in whom it names.

    Of a machine it has both scopes, and `user` for its client id. Raises ValueError for an id
    that the stack would refuse, for a machine with groups, and where no stack ever ran.
    """
    subject = user or (MACHINE if machine else None)
    if subject is None:
        raise ValueError("a token is somebody's; name the user with --user, or use --machine")
    if machine and groups:
        raise ValueError("a machine has no groups; leave out --group, or --machine")
    if not is_user_id(subject):
        raise ValueError(f"a user id is {USER_ID_RULE}")
    issuer = LocalIssuer.load(state_dir)
    if machine:
        return issuer.machine_token(subject, issuer=ISSUER, scopes=SCOPES, ttl_seconds=ttl_seconds)
    return issuer.token(
        subject, issuer=ISSUER, client_id=CLIENT_ID, ttl_seconds=ttl_seconds, groups=groups
    )
