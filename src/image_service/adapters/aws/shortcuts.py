"""Shortcuts around botocore's repeated work for each call.

Each shortcut is here for what the requests benchmark shows of it (docs/benchmarks.md).
"""

from __future__ import annotations

import json
from typing import Any, Final

from botocore import handlers
from botocore.exceptions import BotoCoreError

_READS: Final = ("GetItem", "Query", "BatchGetItem")
# What botocore has every call of every service go through, to no effect on DynamoDB's: for S3
# and its sessions, AWS Lambda, endpoint discovery, and AWS' own statistics of retries.
_OF_OTHERS: Final = {
    "before-parameter-build": ("_handle_request_validation_mode_member",),
    "before-call": ("add_recursion_detection_header", "inject_api_version_header_if_needed"),
    "request-created": ("add_retry_headers",),
    "choose-signer": ("set_operation_specific_signer", "_set_auth_scheme_preference_signer"),
}
_OK: Final = 200
_ASKED: Final = "image_service_asked_for_endpoint"


class UnreadableResponse(BotoCoreError):
    """A 200 that is no JSON object: of something between here and DynamoDB."""

    fmt = "The response is no JSON object"


def skip_handlers_of_others(client: Any) -> None:
    """Leave out of a DynamoDB `client` the handlers of events that do nothing for it."""
    for event, names in _OF_OTHERS.items():
        for name in names:
            client.meta.events.unregister(event, getattr(handlers, name))
    # Puts the User-Agent together again for each request; ours is given, and stays.
    rebuild = client._user_agent_creator.rebuild_and_replace_user_agent_handler  # noqa: SLF001 - not public
    client.meta.events.unregister("request-created.dynamodb", rebuild)


def parse_plainly(client: Any) -> None:
    """Have a DynamoDB `client` take the responses to its reads as the JSON they are.

    botocore walks through a response value by value along the service's model, to arrive at
    what `json.loads` gives. (Binary values alone differ, and none are stored.) Its own parser
    is left an empty body, and still reads errors.
    """
    for operation in _READS:
        client.meta.events.register(f"before-parse.dynamodb.{operation}", _parse)


def _parse(
    *, response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any
) -> None:
    if response_dict["status_code"] != _OK:
        return
    try:
        response = json.loads(response_dict["body"])
    except ValueError as error:
        raise UnreadableResponse from error
    if not isinstance(response, dict):
        raise UnreadableResponse
    customized_response_dict.update(response)
    response_dict["body"] = b""


def resolve_once(client: Any) -> None:
    """Have `client` remember its endpoints, by bucket.

    botocore evaluates the endpoint rules with the parameters of each call, each object's key
    among them, and searches a transaction for its tables; here the one table and the bucket
    come to one result each. There is no public place for this.
    """
    client._ruleset_resolver = _Remembering(client._ruleset_resolver)  # noqa: SLF001 - see above


class _Remembering:
    def __init__(self, resolver: Any) -> None:
        self._resolver = resolver
        self._found: dict[str | None, Any] = {}

    async def construct_endpoint(
        self, operation_model: Any, call_args: dict[str, Any], request_context: dict[str, Any]
    ) -> Any:
        bucket = call_args.get("Bucket")
        # A request that asks again was sent on: its bucket lies in another region.
        asks_again = request_context.get(_ASKED, False)
        request_context[_ASKED] = True
        if asks_again or bucket not in self._found:
            self._found[bucket] = await self._resolver.construct_endpoint(
                operation_model=operation_model,
                call_args=call_args,
                request_context=request_context,
            )
        return self._found[bucket]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._resolver, name)
