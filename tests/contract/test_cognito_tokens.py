"""Tokens that others made: of users with groups moto's Cognito, client credentials the emulator's.

moto has no token endpoint. The emulator's grants no scopes of a resource server, so what a machine
may do is told from the local issuer's tokens (`test_token_kinds.py`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from tests import engines

from image_service.adapters.cognito.verifier import CognitoVerifier
from image_service.domain.access import Kind
from image_service.domain.errors import TokenInvalid

pytestmark = pytest.mark.slow

PASSWORD = "A-password-of-tests-1"
GROUP = "image-admins"


@pytest.fixture(scope="module")
def emulated() -> Iterator[str]:
    with engines.cognito_server() as endpoint:
        yield endpoint


@dataclass(frozen=True)
class Pool:
    endpoint: str
    id: str
    client: Any

    async def user(self, name: str, *groups: str) -> tuple[str, dict[str, str]]:
        """Returns the app client and the tokens of a user who has signed in through it."""
        pool = {"UserPoolId": self.id}
        app = await self.client.create_user_pool_client(
            **pool, ClientName=name, ExplicitAuthFlows=["ALLOW_ADMIN_USER_PASSWORD_AUTH"]
        )
        client_id = app["UserPoolClient"]["ClientId"]
        await self.client.admin_create_user(**pool, Username=name, MessageAction="SUPPRESS")
        await self.client.admin_set_user_password(
            **pool, Username=name, Password=PASSWORD, Permanent=True
        )
        for group in groups:
            await self.client.create_group(**pool, GroupName=group)
            await self.client.admin_add_user_to_group(**pool, Username=name, GroupName=group)
        signed_in = await self.client.admin_initiate_auth(
            **pool,
            ClientId=client_id,
            AuthFlow="ADMIN_USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": name, "PASSWORD": PASSWORD},
        )
        found = signed_in["AuthenticationResult"]
        return client_id, {"id": found["IdToken"], "access": found["AccessToken"]}

    async def machine(self) -> tuple[str, str]:
        """Returns an app client and the access token that it got for its secret."""
        made = await self.client.create_user_pool_client(
            UserPoolId=self.id,
            ClientName="machine",
            GenerateSecret=True,
            AllowedOAuthFlows=["client_credentials"],
            AllowedOAuthFlowsUserPoolClient=True,
        )
        app = made["UserPoolClient"]
        async with httpx.AsyncClient() as http:
            granted = await http.post(
                f"{self.endpoint}/oauth2/token",
                data={"grant_type": "client_credentials"},
                auth=(app["ClientId"], app["ClientSecret"]),
            )
        return app["ClientId"], granted.json()["access_token"]

    @asynccontextmanager
    async def verifier(self, *users: str, machines: str = "") -> AsyncIterator[CognitoVerifier]:
        async with httpx.AsyncClient() as http:
            made = CognitoVerifier(
                http,
                issuer=f"https://cognito-idp.us-east-1.amazonaws.com/{self.id}",
                jwks_url=f"{self.endpoint}/{self.id}/.well-known/jwks.json",
                client_ids=frozenset(users),
                service_client_ids=frozenset(filter(None, [machines])),
                admin_groups=frozenset({GROUP}),
            )
            yield made
            await made.aclose()


@asynccontextmanager
async def pool(endpoint: str) -> AsyncIterator[Pool]:
    async with engines.cognito_client(endpoint) as client:
        policy = {"PasswordPolicy": {"MinimumLength": 8}}
        made = await client.create_user_pool(PoolName="tests", Policies=policy)
        yield Pool(endpoint, made["UserPool"]["Id"], client)


@pytest.mark.parametrize("engine", ["moto", "emulated"])
@pytest.mark.parametrize(
    ("groups", "kind"),
    [
        ((), Kind.USER),
        (("staff",), Kind.USER),
        ((GROUP,), Kind.ADMIN),
        (("staff", GROUP), Kind.ADMIN),
    ],
)
async def test_users_and_administrators(
    request: pytest.FixtureRequest, engine: str, groups: tuple[str, ...], kind: Kind
) -> None:
    async with pool(request.getfixturevalue(engine)) as made:
        client_id, tokens = await made.user("ann", *groups)
        async with made.verifier(client_id) as verifier:
            callers = [await verifier.verify(token) for token in tokens.values()]
            assert [caller.kind for caller in callers] == [kind, kind]
            assert len({caller.user_id for caller in callers}) == 1
        for other in ({"machines": client_id}, {}):
            async with made.verifier("another-client", **other) as verifier:
                for token in tokens.values():
                    with pytest.raises(TokenInvalid):
                        await verifier.verify(token)


async def test_client_credentials(emulated: str) -> None:
    async with pool(emulated) as made:
        client_id, token = await made.machine()
        async with made.verifier("web", machines=client_id) as verifier:
            caller = await verifier.verify(token)
            assert (caller.kind, caller.id, caller.acting_as) == (Kind.MACHINE, client_id, None)
        async with made.verifier("web", client_id) as verifier:
            with pytest.raises(TokenInvalid, match="not of a user"):
                await verifier.verify(token)
        async with made.verifier("web") as verifier:
            with pytest.raises(TokenInvalid):
                await verifier.verify(token)
