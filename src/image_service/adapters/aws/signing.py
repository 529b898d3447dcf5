"""Signature Version 4 for what DynamoDB is sent, a POST with a body and no query.

The steps are those of "Create a signed AWS API request" in the AWS IAM user guide. botocore's
signer is made for every service: it takes the URL apart five times, goes through the headers
four times, and derives the day's key again for each request.
"""

from __future__ import annotations

import hmac
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final
from urllib.parse import quote, urlsplit

from botocore.auth import AUTH_TYPE_MAPS, SigV4Auth
from botocore.auth import _host_from_url as host_of  # type: ignore[attr-defined]  # it is not there for the stubs
from botocore.awsrequest import AWSRequest

POST_SIGNATURE: Final = "v4-post"


class PostSigner(SigV4Auth):
    """The base class' outline with its costly steps done once.

    It signs what AWS asks for, host, content type and all `x-amz-` headers, and leaves out
    what else is sent.
    """

    _region_name: str  # the base class' own, which its stubs leave out
    _service_name: str

    def headers_to_sign(self, request: AWSRequest) -> dict[str, str]:  # type: ignore[override]  # for the two below only
        host, _ = _target(request.url)
        signed = [("host", host)]
        for name, value in request.headers.items():
            lower = name.lower()
            if lower == "content-type" or lower.startswith("x-amz-"):
                signed.append((lower, " ".join(value.split())))
        return dict(sorted(signed))

    def signed_headers(self, headers_to_sign: Any) -> str:
        return ";".join(headers_to_sign)

    def canonical_request(self, request: AWSRequest) -> str:
        _, path = _target(request.url)
        headers = self.headers_to_sign(request)
        lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
        digest = sha256(request.data or b"").hexdigest()
        return f"POST\n{path}\n\n{lines}\n{self.signed_headers(headers)}\n{digest}"

    def signature(self, string_to_sign: str, request: AWSRequest) -> str:
        day = request.context["timestamp"][:8]
        key = _key(self.credentials.secret_key, day, self._region_name, self._service_name)
        return hmac.digest(key, string_to_sign.encode(), "sha256").hex()


@lru_cache(maxsize=4)
def _target(url: str) -> tuple[str, str]:
    """Host as it is sent, without a default port; and path."""
    return host_of(url), quote(urlsplit(url).path or "/", safe="/~")


@lru_cache(maxsize=4)
def _key(secret: str, *scope: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (*scope, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


# Where botocore looks names of signatures up; there is no other way to give it one.
AUTH_TYPE_MAPS[POST_SIGNATURE] = PostSigner
