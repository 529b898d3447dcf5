"""The verifier against tokens of the local issuer and a JWKS served over HTTP."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import math
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import example, given
from hypothesis import strategies as st
from tests.jwks_server import JwksServer

from image_service.adapters.cognito.verifier import CognitoVerifier
from image_service.devstack.issuer import LocalIssuer
from image_service.domain.access import Caller
from image_service.domain.errors import (
    AuthUnavailable,
    TokenExpired,
    TokenInvalid,
    TooManyUnknownKeys,
)

ISSUER = "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_pool"
CLIENT = "web-client"
NOW = 1_790_000_000

POOL = LocalIssuer.generate()
OTHER_POOL = LocalIssuer.generate()


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self, now: float = NOW) -> None:
        self.now = float(now)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        due = self.now + seconds
        while self.now < due:  # noqa: ASYNC110  # the clock is set by assignment
            await asyncio.sleep(0.001)


@pytest.fixture
def clock() -> Clock:
    """Moves tokens' time and the fetching of keys alike."""
    return Clock()


@pytest_asyncio.fixture
async def server() -> AsyncIterator[JwksServer]:
    async with JwksServer(POOL.jwks()) as server:
        yield server


@pytest_asyncio.fixture
async def verifier(server: JwksServer, clock: Clock) -> AsyncIterator[CognitoVerifier]:
    async with httpx.AsyncClient() as http:
        verifier = make(http, server, clock)
        yield verifier
        await verifier.aclose()


def make(
    http: httpx.AsyncClient, server: JwksServer, clock: Clock, **changes: Any
) -> CognitoVerifier:
    return CognitoVerifier(
        http,
        issuer=ISSUER,
        jwks_url=server.url,
        client_ids=frozenset({CLIENT, "mobile-client"}),
        clock=clock,
        monotonic=clock,
        sleep=clock.sleep,
        **changes,
    )


def claims(**changes: Any) -> dict[str, Any]:
    """Those of a good ID token; a change to `...` leaves the claim out."""
    good = {
        "sub": "alice",
        "iss": ISSUER,
        "aud": CLIENT,
        "token_use": "id",
        "iat": NOW,
        "exp": NOW + 3600,
        "at_hash": "nFHI4gOA3ZHZ5DfW1JOlXw",
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not ...}


def token(**changes: Any) -> str:
    return POOL.sign(claims(**changes))


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forged(header: object, signature: bytes = b"x") -> str:
    head, body = json.dumps(header).encode(), json.dumps(claims()).encode()
    return f"{encoded(head)}.{encoded(body)}.{encoded(signature)}"


async def test_tokens_of_the_local_issuer_pass(server: JwksServer) -> None:
    async with httpx.AsyncClient() as http:
        verifier = CognitoVerifier(
            http, issuer=ISSUER, jwks_url=server.url, client_ids=frozenset({CLIENT})
        )
        before = int(time.time())
        for use in ("id", "access"):
            made = POOL.token("bob", issuer=ISSUER, client_id=CLIENT, token_use=use)
            caller = await verifier.verify(made)
            assert caller.user_id == "bob"
            assert before + 3600 <= caller.expires_at <= time.time() + 3600


@pytest.mark.parametrize(
    "good",
    [
        claims(),
        claims(aud="mobile-client"),
        claims(at_hash=...),
        claims(iat=...),
        claims(nbf=NOW),
        claims(iat=NOW + 9, nbf=NOW + 9),  # within the leeway
        claims(token_use="access", client_id=CLIENT, aud=...),
        claims(exp=NOW + 3600.5),
    ],
)
async def test_accepts(verifier: CognitoVerifier, good: dict[str, Any]) -> None:
    assert await verifier.verify(POOL.sign(good)) == Caller("alice", NOW + 3600)


@pytest.mark.parametrize(
    "subject", ["a", "x" * 128, "google_1234", "a.b", "...", "eu|1:2@x-y", "0"]
)
async def test_accepts_subject(verifier: CognitoVerifier, subject: str) -> None:
    assert (await verifier.verify(token(sub=subject))).user_id == subject


@pytest.mark.parametrize(
    "subject",
    [
        "../x", "a/b", "", ".", "..", "x" * 129, "älice", "alice\n", "a b", "a\0", "a%2fb",
        "\N{FULLWIDTH DIGIT ONE}", 17, None, ["alice"], {"a": 1}, True, ...,
    ],
)  # fmt: skip
async def test_refuses_subject(verifier: CognitoVerifier, subject: Any) -> None:
    with pytest.raises(TokenInvalid):
        await verifier.verify(token(sub=subject))


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": ISSUER + "/"},
        {"iss": ...},
        {"iss": [ISSUER]},
        {"aud": "another-client"},
        {"aud": ...},
        {"aud": [CLIENT]},  # Cognito names one client, as text
        {"aud": ..., "client_id": CLIENT},
        {"token_use": "access"},  # and names its client in aud only
        {"token_use": "access", "client_id": "another-client"},
        {"token_use": "refresh"},
        {"token_use": ...},
        {"token_use": ["id"]},
        {"exp": ...},
        {"exp": None},
        {"exp": str(NOW + 3600)},
        {"exp": True},
        {"exp": math.inf},
        {"exp": math.nan},
        {"exp": 10**400},
        {"exp": -1},
        {"nbf": NOW + 11},
        {"nbf": "soon"},
        {"nbf": math.inf},
        {"iat": NOW + 11},
        {"iat": {}},
    ],
)
async def test_refuses_claims(verifier: CognitoVerifier, changes: dict[str, Any]) -> None:
    with pytest.raises(TokenInvalid):
        await verifier.verify(token(**changes))


async def test_an_expired_token_is_told_apart(verifier: CognitoVerifier) -> None:
    assert await verifier.verify(token(exp=NOW - 9))  # within the leeway
    with pytest.raises(TokenExpired):
        await verifier.verify(token(exp=NOW - 10))


async def test_expired_is_said_only_of_tokens_good_otherwise(verifier: CognitoVerifier) -> None:
    with pytest.raises(TokenInvalid):
        await verifier.verify(token(exp=NOW - 100, aud="another-client"))


PUBLIC_PEM = (
    POOL._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
)  # fmt: skip


def signed_with_public_key_as_secret() -> str:
    unsigned = forged({"alg": "HS256", "kid": POOL.kid}).rpartition(".")[0]
    signature = hmac.digest(PUBLIC_PEM, unsigned.encode(), hashlib.sha256)
    return f"{unsigned}.{encoded(signature)}"


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(forged({"alg": "none", "kid": POOL.kid}), id="none"),
        pytest.param(forged({"alg": "none", "kid": POOL.kid}, b"")[:-1] + ".", id="unsigned"),
        pytest.param(signed_with_public_key_as_secret(), id="key confusion"),
        pytest.param(POOL.sign(claims(), {"alg": "RS512"}), id="RS512"),
        pytest.param(POOL.sign(claims(), {"alg": ["RS256"]}), id="alg list"),
        pytest.param(POOL.sign(claims(), {"alg": None}), id="no alg"),
        pytest.param(POOL.sign(claims(), {"kid": None}), id="no kid"),
        pytest.param(POOL.sign(claims(), {"kid": [POOL.kid]}), id="kid list"),
        pytest.param(POOL.sign(claims(), {"kid": "unknown"}), id="unknown kid"),
        pytest.param(POOL.sign(claims(), {"crit": ["exp"]}), id="crit"),
        pytest.param(OTHER_POOL.sign(claims()), id="another pool"),
        pytest.param(OTHER_POOL.sign(claims(), {"kid": POOL.kid}), id="another key"),
        pytest.param(
            OTHER_POOL.sign(
                claims(), {"kid": POOL.kid, "jwk": OTHER_POOL.jwks()["keys"][0], "jku": "http://x"}
            ),
            id="brings its key along",
        ),
        pytest.param(token()[:-4], id="cut"),
        pytest.param(token() + "=", id="padded"),
        pytest.param(token() + "\n", id="line end"),
        pytest.param(" " + token(), id="blank"),
        pytest.param(token() + ".x", id="four segments"),
        pytest.param(forged([]), id="header is a list"),
        pytest.param(encoded(b"[" * 5000) + ".e30.eA", id="deep header"),
        pytest.param(encoded(b'{"a":' * 1000) + ".e30.eA", id="deep object"),
        pytest.param(encoded(b"\xff") + ".e30.eA", id="header not UTF-8"),
        pytest.param("\ud800.\ud800.\ud800", id="surrogates"),
        pytest.param("", id="empty"),
        pytest.param("..", id="dots"),
    ],
)
async def test_refuses(verifier: CognitoVerifier, bad: str) -> None:
    assert await verifier.verify(token())
    with pytest.raises(TokenInvalid):
        await verifier.verify(bad)


@pytest.mark.parametrize("payload", [b"[" * 4000, b"[]", b"1", b"\xff", b"not JSON", b"9" * 4500])
async def test_refuses_a_signed_payload_of_another_shape(
    verifier: CognitoVerifier, payload: bytes
) -> None:
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415

    header = json.dumps({"alg": "RS256", "kid": POOL.kid}).encode()
    unsigned = f"{encoded(header)}.{encoded(payload)}"
    signature = POOL._key.sign(unsigned.encode(), PKCS1v15(), SHA256())
    with pytest.raises(TokenInvalid):
        await verifier.verify(f"{unsigned}.{encoded(signature)}")


async def test_a_token_of_more_than_16_kib_is_told_so(verifier: CognitoVerifier) -> None:
    sizes = {len(made): made for made in (token(pad="x" * n) for n in range(11_680, 11_790))}
    assert await verifier.verify(sizes[max(size for size in sizes if size <= 16_384)])
    longer = min(size for size in sizes if size > 16_384)
    with pytest.raises(TokenInvalid) as refused:
        await verifier.verify(sizes[longer])
    assert refused.value.details == {"measured": longer, "limit": 16_384}
    assert f"has {longer:,} characters; the limit is 16,384" in refused.value.message
    assert "sign in" not in refused.value.message


async def test_keys_are_fetched_once(verifier: CognitoVerifier, server: JwksServer) -> None:
    server.delay = 0.05
    tokens = [token(jti=number) for number in range(50)]
    await asyncio.gather(*(verifier.verify(each) for each in tokens))
    assert server.requests == 1


async def test_keys_are_there_before_the_first_request(
    verifier: CognitoVerifier, server: JwksServer
) -> None:
    verifier.prefetch()
    await until(lambda: server.requests == 1)
    assert await verifier.verify(token())
    assert server.requests == 1


async def test_a_request_that_gives_up_does_not_take_the_fetch_with_it(
    verifier: CognitoVerifier, server: JwksServer
) -> None:
    server.delay = 0.05
    impatient = asyncio.create_task(verifier.verify(token()))
    patient = asyncio.create_task(verifier.verify(token()))
    await asyncio.sleep(0.01)
    impatient.cancel()
    assert (await patient).user_id == "alice"
    assert impatient.cancelled()
    assert server.requests == 1


async def test_a_new_key_is_found_at_once(verifier: CognitoVerifier, server: JwksServer) -> None:
    assert await verifier.verify(token())
    server.publish({"keys": POOL.jwks()["keys"] + OTHER_POOL.jwks()["keys"]})
    assert await verifier.verify(OTHER_POOL.sign(claims()))
    assert await verifier.verify(token(jti="1"))
    assert server.requests == 2


def unknown(number: int = 0) -> str:
    return POOL.sign(claims(), {"kid": f"unknown-{number}"})


def begun(verifier: CognitoVerifier, *tokens: str) -> list[asyncio.Task[Caller]]:
    return [asyncio.create_task(verifier.verify(each)) for each in tokens]


@pytest.mark.slow
async def test_a_storm_of_unknown_keys_costs_a_fetch_in_5_seconds(
    verifier: CognitoVerifier, server: JwksServer, clock: Clock
) -> None:
    await verifier.verify(token())
    for round_ in range(3):  # the first at once, each other when its time has come
        storm = begun(verifier, *(unknown(number) for number in range(1000)))
        if round_:
            clock.now += 4.9
            await asyncio.sleep(0.05)
            assert server.requests == 1 + round_
            clock.now += 0.1
        answers = await asyncio.gather(*storm, return_exceptions=True)
        assert server.requests == 2 + round_
        assert {type(answer) for answer in answers} == {TokenInvalid, TooManyUnknownKeys}
        assert sum(isinstance(answer, TokenInvalid) for answer in answers) == 100
        refused = next(answer for answer in answers if isinstance(answer, TooManyUnknownKeys))
        assert (refused.code, refused.retry_after) == ("AUTH_UNAVAILABLE", 5)
        assert await verifier.verify(token(jti=round_))  # known keys don't wait


async def test_a_new_key_is_found_just_after_somebody_came_with_an_invented_one(
    verifier: CognitoVerifier, server: JwksServer, clock: Clock
) -> None:
    await verifier.verify(token())
    with pytest.raises(TokenInvalid):
        await verifier.verify(unknown())
    server.publish(OTHER_POOL.jwks())
    waiting = begun(verifier, *(OTHER_POOL.sign(claims(jti=number)) for number in range(3)))
    await asyncio.sleep(0.02)
    assert not any(each.done() for each in waiting)
    clock.now += 5
    assert [(await each).user_id for each in waiting] == ["alice"] * 3
    assert server.requests == 3


@pytest.mark.parametrize("rotated", [False, True], ids=["just before", "just after"])
async def test_a_key_that_is_new_while_a_fetch_is_under_way(
    verifier: CognitoVerifier, server: JwksServer, clock: Clock, rotated: bool
) -> None:
    """The fetch may have been answered just before the key was published."""
    await verifier.verify(token())
    server.delay = 0.05
    if not rotated:
        server.publish(OTHER_POOL.jwks())
    [first] = begun(verifier, unknown())
    await until(lambda: server.requests == 2)
    [second] = begun(verifier, OTHER_POOL.sign(claims()))
    with pytest.raises(TokenInvalid):
        await first
    server.publish(OTHER_POOL.jwks())
    if rotated:
        await asyncio.sleep(0.02)
        assert not second.done()
        clock.now += 5
    assert (await second).user_id == "alice"
    assert server.requests == 2 + rotated


async def test_a_refresh_frees_those_who_wait(
    verifier: CognitoVerifier, server: JwksServer, clock: Clock
) -> None:
    await verifier.verify(token())
    clock.now += 3597
    with pytest.raises(TokenInvalid):
        await verifier.verify(POOL.sign(claims(exp=clock.now + 60), {"kid": "unknown"}))
    clock.now += 3598  # past the refresh of the first set; 3.6 s before the next fetch
    with pytest.raises(TokenInvalid):
        await verifier.verify(POOL.sign(claims(exp=clock.now + 60), {"kid": "unknown"}))
    server.publish({"keys": POOL.jwks()["keys"] + OTHER_POOL.jwks()["keys"]})
    [waiting] = begun(verifier, OTHER_POOL.sign(claims(exp=clock.now + 60)))
    verifier._keys._refresh_at = clock.now
    assert await verifier.verify(token(exp=clock.now + 60))
    assert (await waiting).user_id == "alice"
    assert server.requests == 4


async def test_an_unknown_key_can_not_be_judged_while_the_endpoint_is_down(
    verifier: CognitoVerifier, server: JwksServer, clock: Clock
) -> None:
    await verifier.verify(token())
    server.status = 503
    new = OTHER_POOL.sign(claims())
    for _ in range(2):
        [waiting] = begun(verifier, new)
        await asyncio.sleep(0.01)
        clock.now += 5
        with pytest.raises(AuthUnavailable):
            await waiting
    server.status = 200
    server.publish(OTHER_POOL.jwks())
    [waiting] = begun(verifier, new)
    await asyncio.sleep(0.01)
    clock.now += 5
    assert (await waiting).user_id == "alice"


async def test_nobody_waits_for_a_key_without_end(
    server: JwksServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with httpx.AsyncClient() as http:
        verifier = make(http, server, clock)
        await verifier.verify(token())
        with pytest.raises(TokenInvalid):
            await verifier.verify(unknown())
        monkeypatch.setattr("image_service.adapters.cognito.jwks.UNKNOWN_KEY_WAIT", 0.05)
        with pytest.raises(AuthUnavailable):  # the clock stands
            await verifier.verify(unknown())
        await verifier.aclose()


async def test_who_waits_and_gives_up_leaves_the_place(
    verifier: CognitoVerifier, server: JwksServer, clock: Clock
) -> None:
    await verifier.verify(token())
    with pytest.raises(TokenInvalid):
        await verifier.verify(unknown())
    for _ in range(3):
        waiting = begun(verifier, *(unknown(number) for number in range(100)))
        await asyncio.sleep(0.01)
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    [last] = begun(verifier, unknown())
    await asyncio.sleep(0.01)
    clock.now += 5
    with pytest.raises(TokenInvalid):
        await last
    assert server.requests == 3


async def test_no_keys_at_all_is_no_fault_of_the_token(
    verifier: CognitoVerifier, server: JwksServer, clock: Clock
) -> None:
    await server.stop()
    with pytest.raises(AuthUnavailable):
        await verifier.verify(token())
    await server.start()
    with pytest.raises(AuthUnavailable):  # not yet asked again
        await verifier.verify(token())
    assert server.requests == 0
    clock.now += 1
    assert await verifier.verify(token())


async def test_at_most_100_wait_for_the_first_keys(
    verifier: CognitoVerifier, server: JwksServer, clock: Clock
) -> None:
    server.status = 503
    for _ in range(2):  # those who were cancelled have left their places
        server.answering.clear()
        waiting = begun(verifier, *(token(jti=number) for number in range(100)))
        await asyncio.sleep(0.01)
        with pytest.raises(TooManyUnknownKeys):
            await verifier.verify(token())
        for each in waiting[:50]:
            each.cancel()
        await asyncio.gather(*waiting[:50], return_exceptions=True)
        waiting[:50] = begun(verifier, *(token(jti=number) for number in range(100, 150)))
        server.answering.set()
        refused = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(each) for each in refused} == {AuthUnavailable}
        clock.now += 1
    server.status = 200
    assert await verifier.verify(token())


async def test_with_no_keys_the_endpoint_is_asked_about_once_a_second(
    verifier: CognitoVerifier, server: JwksServer, clock: Clock
) -> None:
    server.status = 503
    for _ in range(3):
        answers = await asyncio.gather(
            *(verifier.verify(token()) for _ in range(100)), return_exceptions=True
        )
        assert all(isinstance(answer, AuthUnavailable) for answer in answers)
        clock.now += 1
    assert server.requests == 3


async def test_old_keys_serve_on_while_the_endpoint_is_down(
    verifier: CognitoVerifier, server: JwksServer, clock: Clock
) -> None:
    await verifier.verify(token())
    await server.stop()
    for hours in range(1, 100):
        clock.now += 3600
        assert await verifier.verify(token(exp=clock.now + 60, jti=hours))


async def test_an_endpoint_that_drips_is_given_up(server: JwksServer, clock: Clock) -> None:
    """Each byte comes in time, the whole would take minutes."""
    server.drip = 0.05
    async with httpx.AsyncClient() as http, asyncio.timeout(60):
        verifier = make(http, server, clock, fetch_within=0.3)
        with pytest.raises(AuthUnavailable):
            await verifier.verify(token())
        await verifier.aclose()


async def test_keys_are_refreshed_behind_the_requests(
    verifier: CognitoVerifier, server: JwksServer, clock: Clock
) -> None:
    await verifier.verify(token())
    clock.now += 3599
    await verifier.verify(token(exp=clock.now + 60))
    assert server.requests == 1
    clock.now += 1
    server.delay = 0.05
    server.publish(OTHER_POOL.jwks())
    # The old set still answers, and nobody waits.
    await asyncio.gather(*(verifier.verify(token(exp=clock.now + 60, jti=n)) for n in range(20)))
    await until(lambda: server.requests == 2)
    await until(lambda: len(verifier._keys._keys) == 1 and not verifier._keys._running())
    with pytest.raises(TokenInvalid):
        await verifier.verify(token(exp=clock.now + 60, jti="after"))
    assert await verifier.verify(OTHER_POOL.sign(claims(exp=clock.now + 60)))


async def test_a_refresh_joins_the_fetch_that_is_under_way(
    verifier: CognitoVerifier, server: JwksServer, clock: Clock
) -> None:
    await verifier.verify(token())
    clock.now += 3600
    server.delay = 0.05
    unknown = asyncio.create_task(verifier.verify(OTHER_POOL.sign(claims())))
    await until(lambda: server.requests == 2)
    clock.now += 60
    await verifier.verify(token(exp=clock.now + 60))
    with pytest.raises(TokenInvalid):
        await unknown
    assert server.requests == 2


async def test_a_failed_refresh_is_tried_again_a_minute_later(
    verifier: CognitoVerifier, server: JwksServer, clock: Clock
) -> None:
    await verifier.verify(token())
    server.status = 500
    for seconds in (3600, 1, 58, 1):
        clock.now += seconds
        await verifier.verify(token(exp=clock.now + 60))
        await asyncio.sleep(0.05)
    assert server.requests == 3


EC_KEY = {"kty": "EC", "kid": "ec", "crv": "P-256", "x": "AA", "y": "AA"}
RSA_KEY = POOL.jwks()["keys"][0]
OTHER_KEY = OTHER_POOL.jwks()["keys"][0]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, json.dumps(OTHER_POOL.jwks())),
        (404, json.dumps(OTHER_POOL.jwks())),
        (200, "<html>Welcome to the hotel's network</html>"),
        (200, ""),
        (200, "[]"),
        (200, "null"),
        (200, "[" * 60_000),
        (200, '{"keys": []}'),
        (200, '{"keys": {}}'),
        (200, '{"keys": 7}'),
        (200, '{"keys": [7, null, []]}'),
        (200, json.dumps({"keys": [EC_KEY]})),
        (200, json.dumps({"keys": [{**OTHER_KEY, "use": "enc"}]})),
        (200, json.dumps({"keys": [{**OTHER_KEY, "alg": "RS512"}]})),
        (200, json.dumps({"keys": [{**OTHER_KEY, "kty": "oct", "k": "c2VjcmV0"}]})),
        (200, json.dumps({"keys": [{**OTHER_KEY, "n": "!"}]})),
        (200, json.dumps({"keys": [{**OTHER_KEY, "n": 10**12}]})),
        (200, json.dumps({"keys": [{**OTHER_KEY, "e": "AA"}]})),
        (200, json.dumps({"keys": [{**OTHER_KEY, "kid": 1}]})),
        (200, json.dumps(OTHER_POOL.jwks()) + " " * 65_536),
    ],
)
async def test_a_worthless_answer_replaces_nothing(
    verifier: CognitoVerifier, server: JwksServer, status: int, body: str
) -> None:
    await verifier.verify(token())
    server.status, server.body = status, body.encode()
    with pytest.raises(AuthUnavailable):  # its kid is unknown, so the set is fetched again
        await verifier.verify(OTHER_POOL.sign(claims()))
    assert server.requests == 2
    assert await verifier.verify(token(jti="again"))


async def test_a_worthless_first_answer_is_no_set(
    verifier: CognitoVerifier, server: JwksServer
) -> None:
    server.body = b"<html></html>"
    with pytest.raises(AuthUnavailable):
        await verifier.verify(token())


async def test_redirects_are_not_followed(verifier: CognitoVerifier, server: JwksServer) -> None:
    async with JwksServer(POOL.jwks()) as elsewhere:
        server.status, server.headers = 302, {"Location": elsewhere.url}
        with pytest.raises(AuthUnavailable):
            await verifier.verify(token())
        assert elsewhere.requests == 0


async def test_one_broken_key_does_not_spoil_the_others(
    verifier: CognitoVerifier, server: JwksServer
) -> None:
    server.publish({"keys": [{**RSA_KEY, "kid": "broken", "n": "!"}, EC_KEY, RSA_KEY]})
    assert await verifier.verify(token())


async def test_a_hanging_endpoint_is_given_up(
    server: JwksServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("image_service.adapters.cognito.jwks._FETCH_TIMEOUT", httpx.Timeout(0.05))
    server.delay = 0.5
    async with httpx.AsyncClient() as http:
        with pytest.raises(AuthUnavailable):
            await make(http, server, clock).verify(token())


async def test_closing_cancels_the_fetch(server: JwksServer, clock: Clock) -> None:
    server.answering.clear()
    async with httpx.AsyncClient() as http:
        verifier = make(http, server, clock)
        waiting = asyncio.create_task(verifier.verify(token()))
        await until(lambda: server.requests == 1)
        await verifier.aclose()
        with pytest.raises(AuthUnavailable):
            await waiting
        await verifier.aclose()


async def test_closing_frees_those_who_wait(server: JwksServer, clock: Clock) -> None:
    async with httpx.AsyncClient() as http:
        verifier = make(http, server, clock)
        await verifier.verify(token())
        with pytest.raises(TokenInvalid):
            await verifier.verify(unknown())
        [waiting] = begun(verifier, unknown())
        await asyncio.sleep(0.01)
        await verifier.aclose()
        with pytest.raises(AuthUnavailable):
            await waiting


class TestCache:
    @pytest.fixture
    def checks(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The tokens whose signature was looked at."""
        from image_service.adapters.cognito import verifier as cognito  # noqa: PLC0415 - patched

        seen: list[str] = []
        real = cognito._signed_claims

        def spy(token: str, key: Any) -> Any:
            seen.append(token)
            return real(token, key)

        monkeypatch.setattr(cognito, "_signed_claims", spy)
        return seen

    async def test_a_token_is_verified_once_in_5_minutes(
        self, verifier: CognitoVerifier, clock: Clock, checks: list[str]
    ) -> None:
        for seconds in (0, 1, 298.9):
            clock.now += seconds
            await verifier.verify(token())
        assert len(checks) == 1
        clock.now += 0.1
        await verifier.verify(token())
        assert len(checks) == 2

    async def test_no_entry_outlives_its_token(
        self, verifier: CognitoVerifier, clock: Clock, checks: list[str]
    ) -> None:
        short = token(exp=NOW + 20)
        await verifier.verify(short)
        clock.now += 20
        await verifier.verify(short)  # verified anew, for the leeway
        assert len(checks) == 2
        clock.now += 10
        with pytest.raises(TokenExpired):
            await verifier.verify(short)

    async def test_a_dropped_key_lives_on_in_the_cache_for_5_minutes(
        self, verifier: CognitoVerifier, server: JwksServer, clock: Clock
    ) -> None:
        await verifier.verify(token())
        server.publish(OTHER_POOL.jwks())
        await verifier.verify(OTHER_POOL.sign(claims()))
        clock.now += 299
        assert await verifier.verify(token())
        clock.now += 1
        with pytest.raises(TokenInvalid):
            await verifier.verify(token())

    async def test_it_is_bounded_and_holds_no_tokens(
        self, verifier: CognitoVerifier, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await verifier.verify(token())
        assert verifier._verified.maxsize == 10_000
        assert [len(key) for key in verifier._verified] == [32]

    async def test_refusals_are_not_kept(self, verifier: CognitoVerifier, clock: Clock) -> None:
        early = token(nbf=NOW + 60)
        with pytest.raises(TokenInvalid):
            await verifier.verify(early)
        clock.now += 50
        assert await verifier.verify(early)


@pytest_asyncio.fixture(scope="module")
async def warm() -> AsyncIterator[CognitoVerifier]:
    """One that has its keys, and will not ask for others again."""
    async with JwksServer(POOL.jwks()) as server, httpx.AsyncClient() as http:
        verifier = make(http, server, Clock())
        await verifier.verify(token())
        with pytest.raises(TokenInvalid):
            await verifier.verify(OTHER_POOL.sign(claims()))
        yield verifier


class TestFuzz:
    """Whatever comes, the answer is a caller or a fault of the token."""

    @given(st.text() | st.text("abcXYZ019-_.=", max_size=60))
    async def test_any_text(self, warm: CognitoVerifier, text: str) -> None:
        with pytest.raises(TokenInvalid):
            await warm.verify(text)

    @given(st.data())
    async def test_a_mutated_token(self, warm: CognitoVerifier, data: st.DataObject) -> None:
        good = token(jti="mutated")
        at = data.draw(st.integers(0, len(good) - 1))
        width = data.draw(st.integers(0, 3))
        mutated = good[:at] + data.draw(st.text("Aa0-_.={é", max_size=3)) + good[at + width :]
        if mutated == good or _same_bytes(mutated, good):
            return
        with pytest.raises(TokenInvalid):
            await warm.verify(mutated)

    @given(
        st.dictionaries(
            st.sampled_from(["sub", "iss", "aud", "exp", "nbf", "iat", "token_use", "client_id"]),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
                lambda inner: (
                    st.lists(inner, max_size=2)
                    | st.dictionaries(st.text(max_size=2), inner, max_size=2)
                ),
                max_leaves=3,
            ),
            min_size=1,
        )
    )
    @example({"exp": 1e999})
    @example({"nbf": -1e999})
    async def test_odd_claims_well_signed(
        self, warm: CognitoVerifier, changes: dict[str, Any]
    ) -> None:
        try:
            caller = await warm.verify(token(**changes))
        except (TokenInvalid, TokenExpired):
            return
        assert caller.user_id == changes.get("sub", "alice")
        assert {"iss", "aud", "token_use"}.isdisjoint(changes)


def _same_bytes(one: str, other: str) -> bool:
    """Whether only the unused low bits of a last base64 character differ."""
    try:
        return [_decoded(s) for s in one.split(".")] == [_decoded(s) for s in other.split(".")]
    except ValueError:
        return False


def _decoded(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  # it stands in another's counter
            await asyncio.sleep(0.005)
