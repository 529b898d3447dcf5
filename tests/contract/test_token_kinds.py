"""The kind of caller that a token makes: users, administrators, machines, and none of them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from tests.jwks_server import JwksServer

from image_service.adapters.cognito.verifier import CognitoVerifier
from image_service.devstack.issuer import LocalIssuer
from image_service.domain.access import Kind
from image_service.domain.errors import TokenInvalid

ISSUER = "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_pool"
WEB, MACHINE, OTHER_MACHINE, UNKNOWN = "web", "main-api", "thumbnailer", "unknown"
PREFIX = "https://images.example.com"  # as resource servers are often called
READ, WRITE = f"{PREFIX}/read", f"{PREFIX}/write"
GROUP = "image-admins"
POOL, OTHER_POOL = LocalIssuer.generate(), LocalIssuer.generate()
Claims = dict[str, Any]


@pytest_asyncio.fixture(scope="module")
async def verifier() -> AsyncIterator[CognitoVerifier]:
    async with JwksServer(POOL.jwks()) as server, httpx.AsyncClient() as http:
        made = CognitoVerifier(
            http,
            issuer=ISSUER,
            jwks_url=server.url,
            client_ids=frozenset({WEB}),
            service_client_ids=frozenset({MACHINE, OTHER_MACHINE}),
            scope_prefix=PREFIX,
            admin_groups=frozenset({GROUP, "root"}),
        )
        yield made
        await made.aclose()


def user(use: str = "access", **changes: Any) -> Claims:
    """The claims of a user's token; a change to `...` leaves one out."""
    client = {"client_id": WEB, "username": "alice"} if use == "access" else {"aud": WEB}
    return changed({"sub": "alice", "token_use": use, **client}, changes)


def machine(**changes: Any) -> Claims:
    """The claims of client credentials."""
    of_client = {"sub": MACHINE, "client_id": MACHINE, "scope": f"{READ} {WRITE}"}
    return changed({**of_client, "token_use": "access"}, changes)


def changed(claims: Claims, changes: Claims) -> Claims:
    now = int(time.time())
    full = {"iss": ISSUER, "iat": now, "exp": now + 3600, **claims, **changes}
    return {name: value for name, value in full.items() if value is not ...}


@pytest.mark.parametrize(
    ("claims", "kind"),
    [
        (user(), Kind.USER),
        (user("id"), Kind.USER),
        (user(scope=f"{READ} {WRITE}"), Kind.USER),  # scopes make no machine
        (user("id", azp=MACHINE, client_id=MACHINE), Kind.USER),
        (user(aud=MACHINE), Kind.USER),
        (user(username=MACHINE), Kind.USER),
        (user(**{"cognito:groups": [GROUP]}), Kind.ADMIN),
        (user("id", **{"cognito:groups": ["staff", GROUP]}), Kind.ADMIN),
        (user(**{"cognito:groups": ["root"] * 500}), Kind.ADMIN),
        (machine(), Kind.MACHINE),
        (machine(sub=OTHER_MACHINE, client_id=OTHER_MACHINE), Kind.MACHINE),
        (machine(**{"cognito:groups": [GROUP]}), Kind.MACHINE),
        (machine(aud=WEB), Kind.MACHINE),
    ],
)
async def test_kinds(verifier: CognitoVerifier, claims: Claims, kind: Kind) -> None:
    caller = await verifier.verify(POOL.sign(claims))
    assert (caller.kind, caller.id) == (kind, claims["sub"])
    assert caller.acting_as == (None if kind is Kind.MACHINE else claims["sub"])
    assert bool(caller.scopes) == (kind is Kind.MACHINE)


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param(machine(sub=WEB, client_id=WEB), id="credentials of a user's client"),
        pytest.param(machine(sub=UNKNOWN, client_id=UNKNOWN), id="of an unknown client"),
        pytest.param(machine(client_id=OTHER_MACHINE), id="of another machine"),
        pytest.param(machine(sub="alice"), id="a user's, of a machine's client"),
        pytest.param(machine(sub="alice", username="alice"), id="named, of a machine's client"),
        pytest.param(machine(token_use="id"), id="as an ID token"),
        pytest.param(machine(token_use="id", aud=MACHINE), id="as an ID token for itself"),
        pytest.param(user("id", sub=WEB), id="an ID token of the client"),
        pytest.param(user("id", aud=MACHINE), id="an ID token for the machine's client"),
        pytest.param(machine(client_id=[MACHINE]), id="client as a list"),
        pytest.param(machine(client_id={MACHINE: 1}), id="client as an object"),
        pytest.param(machine(client_id=MACHINE.upper(), sub=MACHINE.upper()), id="another case"),
        pytest.param(machine(client_id=..., aud=MACHINE), id="client in aud"),
        pytest.param(machine(sub=...), id="no subject"),
        pytest.param(machine(sub=[MACHINE]), id="subject as a list"),
        pytest.param(machine(iss=ISSUER + "2"), id="of another pool by name"),
        pytest.param(machine(token_use="machine"), id="another use"),
    ],
)
async def test_neither_users_nor_machines(verifier: CognitoVerifier, claims: Claims) -> None:
    with pytest.raises(TokenInvalid):
        await verifier.verify(POOL.sign(claims))


@pytest.mark.parametrize(
    "groups",
    [
        GROUP, f"[{GROUP}]", [[GROUP]], [{"name": GROUP}], {GROUP: True}, [GROUP.upper()],
        [f" {GROUP}"], [f"{GROUP}\n"], [f"{GROUP},x"], [None, True, 1, 1.5, [], {}], [], "", None,
        True, 1, [f"{GROUP}{number}" for number in range(500)], [[[[[[GROUP]]]]]],
    ],
    ids=repr,
)  # fmt: skip
async def test_no_administrator(verifier: CognitoVerifier, groups: Any) -> None:
    for name in ("cognito:groups", "groups", "cognito:roles", "custom:groups"):
        for use in ("id", "access"):
            token = POOL.sign(user(use, **{name: groups}))
            assert (await verifier.verify(token)).kind is Kind.USER
    for name in ("groups", "cognito:roles", "custom:groups", "Cognito:Groups"):
        token = POOL.sign(user("id", **{name: [GROUP]}))
        assert (await verifier.verify(token)).kind is Kind.USER


@pytest.mark.parametrize(
    ("scope", "granted"),
    [
        (f"{READ} {WRITE}", {READ, WRITE}),
        (READ, {READ}),
        (f"openid {WRITE} x/y", {WRITE}),
        ("", set()),
        (..., set()),
        (None, set()),
        ([READ, WRITE], set()),
        ({READ: True}, set()),
        (f"{READ},{WRITE}", set()),
        (f"x{READ} {WRITE}x", set()),
        ("read write", set()),
        (f"{READ}\t{WRITE}", set()),
        ("x " * 3000, set()),
    ],
)
async def test_scopes(verifier: CognitoVerifier, scope: Any, granted: set[str]) -> None:
    caller = await verifier.verify(POOL.sign(machine(scope=scope)))
    assert caller.scopes & {READ, WRITE} == granted
    assert caller.scope_prefix == PREFIX


@pytest.mark.parametrize("header", [{"alg": "none"}, {"alg": "HS256"}, {"kid": "x"}, {"crit": []}])
async def test_a_machines_token_is_signed_as_any(verifier: CognitoVerifier, header: Claims) -> None:
    assert await verifier.verify(POOL.sign(machine()))
    for token in (
        POOL.sign(machine(), header),
        OTHER_POOL.sign(machine(), {"kid": POOL.kid}),
        POOL.sign(machine(), header).rpartition(".")[0] + ".",
    ):
        with pytest.raises(TokenInvalid):
            await verifier.verify(token)


async def test_what_is_remembered_is_each_tokens_own(verifier: CognitoVerifier) -> None:
    tokens = {
        POOL.sign(user(jti="1")): Kind.USER,
        POOL.sign(user(jti="1", **{"cognito:groups": [GROUP]})): Kind.ADMIN,
        POOL.sign(machine(jti="1")): Kind.MACHINE,
    }
    for _ in range(3):
        for token, kind in tokens.items():
            caller = await verifier.verify(token)
            assert caller.kind is kind
            if kind is Kind.MACHINE:
                assert caller.on_behalf_of("alice").user_id == "alice"
                assert (await verifier.verify(token)).acting_as is None


async def test_without_lists_there_are_only_users() -> None:
    async with JwksServer(POOL.jwks()) as server, httpx.AsyncClient() as http:
        alone = CognitoVerifier(
            http, issuer=ISSUER, jwks_url=server.url, client_ids=frozenset({WEB})
        )
        assert (await alone.verify(POOL.sign(user()))).kind is Kind.USER
        admin = POOL.sign(user(**{"cognito:groups": [GROUP, ""]}))
        assert (await alone.verify(admin)).kind is Kind.USER
        for claims in (machine(), machine(sub="", client_id="")):
            with pytest.raises(TokenInvalid):
                await alone.verify(POOL.sign(claims))
        await alone.aclose()


_ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from([MACHINE, WEB, GROUP, READ, ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=4,
)
_NAMES = ["sub", "aud", "client_id", "token_use", "scope", "cognito:groups", "username"]


@given(
    st.dictionaries(st.sampled_from(_NAMES), _ODD, min_size=1), st.sampled_from(["id", "access"])
)
async def test_odd_claims_make_nobody_more(
    verifier: CognitoVerifier, odd: Claims, use: str
) -> None:
    claims = user(use, **odd)
    try:
        caller = await verifier.verify(POOL.sign(claims))
    except TokenInvalid:
        return
    if caller.kind is Kind.MACHINE:
        assert claims["sub"] == claims["client_id"] == MACHINE
        assert claims["token_use"] == "access"
    else:
        client = claims["aud"] if claims["token_use"] == "id" else claims["client_id"]
        assert client == WEB != claims["sub"]
        groups = claims.get("cognito:groups")
        assert (caller.kind is Kind.ADMIN) == (isinstance(groups, list) and GROUP in groups)
