"""All settings, from the environment; read by `app`, `bootstrap` and `cli` alone.

AWS credentials, the region and endpoint overrides go by their standard AWS names and are
read by botocore itself; where traces go, by OpenTelemetry's, most of which its SDK reads.
"""

from __future__ import annotations

import os
import re
from functools import cache
from typing import Annotated, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from image_service.domain.access import read_rate
from image_service.domain.renditions import MAIN, RENDITIONS, THUMBNAIL

ENV_PREFIX = "IMAGE_SERVICE_"
OTEL_PREFIX = "OTEL_"
_TRACE_SWITCHES = (
    "EXPORTER_OTLP_ENDPOINT",
    "EXPORTER_OTLP_TRACES_ENDPOINT",
    "SDK_DISABLED",
    "TRACES_EXPORTER",
)
_WEB_ORIGIN = re.compile(r"https?://(?P<subdomains>\*\.)?(?P<host>[a-z0-9.-]+)(:\d+)?")
_APP_ORIGIN = re.compile(r"(?!https?:|file:)[a-z][a-z0-9+.-]*://[a-z0-9.-]*")  # hybrid apps
_ANY_LOCAL_PORT = re.compile(r"https?://(localhost|127\.0\.0\.1):\*")
_TABLE = {spec.name: spec for spec in RENDITIONS}
FORM_BYTES = 128 * 1024  # what a form may have besides its file


class SettingsError(Exception):
    """The service can't start; one line for each error."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("\n".join(faults))


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return [part.strip() for part in value.split(",") if part.strip()]


def _http_url(value: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", value):
        raise ValueError("must be an http(s) URL without query or fragment")
    return value.rstrip("/")


def _redis_url(value: SecretStr) -> SecretStr:
    url = value.get_secret_value()
    possible = re.fullmatch(r"rediss?://([^\s/?#]*@)?[^\s/?#@]+(/\d*)?(\?[^\s#]*)?", url)
    if not (possible and _can_be_dialled(url)):
        raise ValueError("must be redis://[user:password@]host[:port][/db], or rediss:// for TLS")
    if not unquote(possible[1] or "").isprintable():
        raise ValueError("user and password must be printable: no newline, not as %0A either")
    return value


def _can_be_dialled(url: str) -> bool:
    """Whether its port, where it names one, is of those there are."""
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def _rate(value: str) -> str:
    try:
        read_rate(value)
    except ValueError:
        raise ValueError("must be one rate above zero, such as '100/minute'") from None
    return value


def _origin(value: str) -> str:
    """As browsers send it: lower case, without the port that its scheme implies."""
    origin = re.sub(r"^(https://[^/]+):443$|^(http://[^/]+):80$", r"\1\2", value.lower())
    if _ANY_LOCAL_PORT.fullmatch(origin) or _APP_ORIGIN.fullmatch(origin):
        return origin
    found = _WEB_ORIGIN.fullmatch(origin)
    if not found:
        raise ValueError(
            f"{value!r} is not an origin such as 'https://example.com', 'https://*.example.com', "
            "'capacitor://localhost' or 'http://localhost:*' (the last for this machine alone)"
        )
    if found["subdomains"] and not _is_one_owners(found["host"]):
        raise ValueError(
            f"{value!r} lets in every site under the public suffix {found['host']!r}; "
            "name a domain of your own under it"
        )
    return origin


@cache  # reading the list takes longer than all other settings
def _is_one_owners(domain: str) -> bool:
    """Whether all its subdomains are one owner's: not so of com, co.uk, github.io."""
    from publicsuffixlist import PublicSuffixList  # noqa: PLC0415  # 20 ms, for wildcards alone

    return PublicSuffixList().privatesuffix(domain) is not None


CommaSeparated = BeforeValidator(_split)
Url = Annotated[str, AfterValidator(_http_url)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]  # may hold a password
Rate = Annotated[str, AfterValidator(_rate)]
Origin = Annotated[str, AfterValidator(_origin)]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,100}$")]
HeaderValue = Annotated[str, Field(pattern=r"^[ -~]+$")]
Sampler = Literal[
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
]
WebpSide = Annotated[int, Field(ge=1, le=16383)]  # the most the format can hold
NonEmpty = Annotated[str, Field(min_length=1)]


class Settings(BaseSettings):
    """One frozen value; `Settings()` reads `IMAGE_SERVICE_*`. Sizes in bytes, times in seconds."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_ignore_empty=True,  # compose files and task definitions write unset ones as empty
        frozen=True,
        str_strip_whitespace=True,  # most ways to store a text end it with a newline
        extra="ignore",
        hide_input_in_errors=True,
        use_attribute_docstrings=True,  # docs/settings.md is made from them
    )

    stage: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,19}$")]
    """The stage this task belongs to, such as `dev`, `staging` or `prod`."""

    # Storage
    table_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{3,255}$")]
    """The DynamoDB table."""
    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
    """The S3 bucket of the pictures."""
    cdn_base_url: Url
    """The beginning of `imageUrl` and `thumbnailUrl`: the CDN's address."""
    cloudfront_distribution_id: NonEmpty | None = None
    """The CloudFront distribution to invalidate; without it, none is."""
    object_cache_control: HeaderValue = "public, max-age=86400, immutable"
    """`Cache-Control` of the stored pictures."""
    storage_class: Literal["STANDARD", "INTELLIGENT_TIERING"] = "INTELLIGENT_TIERING"
    """S3 storage class of the stored pictures."""

    # Optional: a cache, and rate limits that all tasks share
    redis_url: RedisUrl | None = None
    """`rediss://:password@host:6379`: a cache, and rate limits that all tasks share; without it,
    neither."""
    redis_timeout: PositiveFloat = 0.1
    """Seconds a call to Redis may take."""

    outbox_poll: PositiveFloat = 5.0
    """Seconds, with jitter, between two looks for work in the outbox while there is some; without
    work the wait doubles, up to six times that."""

    # Who may come in
    cognito_issuer: Url
    """`https://cognito-idp.<region>.amazonaws.com/<pool>`."""
    cognito_client_ids: Annotated[
        frozenset[NonEmpty], NoDecode, CommaSeparated, Field(min_length=1)
    ]
    """The app clients whose tokens are accepted."""
    jwks_url: Url | None = None
    """The address of the pool's keys; without it, `/.well-known/jwks.json` under the issuer."""
    cors_origins: Annotated[tuple[Origin, ...], NoDecode, CommaSeparated] = ()
    """Origins of web pages that may call the service: `https://app.example.com`,
    `https://*.example.com`; of hybrid apps: `capacitor://localhost`; on one's own machine
    `http://localhost:*`, any port."""
    cors_headers: Annotated[tuple[HeaderName, ...], NoDecode, CommaSeparated] = ()
    """Request headers that pages may send besides the service's own and those of tracing."""
    rate_limit_requests: Rate = "1000/second"
    """Requests of one user over all routes."""
    rate_limit_uploads: Rate = "100/minute"
    """Uploads of one user."""

    # Pictures
    max_file_bytes: PositiveInt = 10 * 1024 * 1024
    """Bytes of an uploaded file."""
    min_dimension: PositiveInt = 100
    """Pixels of a picture's shorter side, at least."""
    max_dimension: PositiveInt = 8000
    """Pixels of a picture's longer side, at most."""
    main_size: WebpSide = _TABLE[MAIN].side
    """Pixels of the main picture's longer side, at most; never enlarged."""
    main_quality: Annotated[int, Field(ge=1, le=100)] = _TABLE[MAIN].quality
    """WebP quality of the main picture."""
    thumbnail_size: WebpSide = _TABLE[THUMBNAIL].side
    """Pixels of the thumbnail's sides, at most."""
    thumbnail_quality: Annotated[int, Field(ge=1, le=100)] = _TABLE[THUMBNAIL].quality
    """WebP quality of the thumbnail."""
    webp_effort: Annotated[int, Field(ge=0, le=6)] = _TABLE[MAIN].effort
    """WebP effort, from fast to small."""
    worker_threads: Annotated[int, Field(ge=1, le=256)] | None = None
    """Pictures processed at the same time; without it, one for each CPU of the task."""
    processing_timeout: PositiveFloat = 20.0
    """Seconds the processing of a picture may take, once its turn has come."""
    picture_cpu_seconds: Annotated[int, Field(ge=1, le=60)] = 8
    """Seconds of CPU the processing of a picture may take, held by the kernel."""

    # Load: what may be in the process at once, of it for one user, and how long
    max_connections: PositiveInt = 1_000
    """Connections served at once, fewer where the limit of open files is lower; past that, a
    new one replaces the one that has been idle longest."""
    max_user_requests: PositiveInt = 100
    """Requests of one user in progress at once; those without a token count as one user's."""
    max_uploads: PositiveInt = 128
    """Uploads in the process at the same time, from the first byte to the response."""
    upload_memory_bytes: PositiveInt = 256 * 1024 * 1024
    """Bytes of the bodies of all uploads in the process."""
    decode_memory_bytes: Annotated[int, Field(ge=96 * 1024 * 1024)] = 768 * 1024 * 1024
    """Bytes that the pictures being processed may take together, estimated from their headers."""
    waiting_decode_bytes: PositiveInt | None = None
    """Bytes that the pictures waiting to be processed will take; without it, 4 GiB for each
    worker thread, about 20 s of work."""
    user_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """The largest share of uploads, their bytes and the waiting pictures that one user gets."""
    queue_timeout: PositiveFloat = 15.0
    """Seconds a picture waits for its turn."""
    upload_stall_timeout: PositiveFloat = 20.0
    """Seconds an upload's body may pause."""
    upload_min_rate: PositiveInt = 8 * 1024
    """Bytes per second at which an upload's body must arrive."""
    upload_timeout: PositiveFloat = 300.0
    """Seconds until an upload's body must be complete."""
    # Less than the 60 s for which an Idempotency-Key is held: a late owner could not commit.
    upload_deadline: Annotated[float, Field(gt=0, le=50)] = 30.0
    """Seconds from the last byte of an upload to its response."""
    delete_deadline: PositiveFloat = 15.0
    """Seconds from the last byte of a deletion to its response."""
    request_deadline: PositiveFloat = 10.0
    """Seconds from the last byte of any other request to its response."""
    drain_seconds: NonNegativeFloat = 10.0
    """Seconds after SIGTERM during which the task is not ready, but serves (`dev`: 0)."""
    shutdown_seconds: PositiveInt = 30
    """Seconds after that for running requests to finish."""

    # The server
    host: NonEmpty = "127.0.0.1"
    """The address to listen on."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """The port to listen on."""
    ops_host: NonEmpty = "127.0.0.1"
    """The address of the operations port."""
    ops_port: Annotated[int, Field(ge=0, le=65535)] = 9090
    """The operations port, for `/metrics`; 0: none. If it is taken, there are no metrics, and the
    start fails where this was set."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least level of log lines."""
    log_format: Literal["json", "console"] = "json"
    """`console` is coloured text for a terminal."""

    @property
    def jwks_location(self) -> str:
        return self.jwks_url or f"{self.cognito_issuer}/.well-known/jwks.json"

    @model_validator(mode="after")
    def _dimensions_in_order(self) -> Self:
        if self.min_dimension > self.max_dimension:
            raise ValueError("MIN_DIMENSION must not be above MAX_DIMENSION")
        return self

    @model_validator(mode="after")
    def _one_upload_fits(self) -> Self:
        if self.upload_memory_bytes < self.max_file_bytes + FORM_BYTES:
            raise ValueError(
                "UPLOAD_MEMORY_BYTES must take at least one upload: "
                f"MAX_FILE_BYTES and {FORM_BYTES:,} for the rest of its form"
            )
        return self


class TraceSettings(BaseSettings):
    """Those of the standard `OTEL_*` variables that could be wrong unnoticed."""

    model_config = SettingsConfigDict(
        env_prefix=OTEL_PREFIX,
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

    exporter_otlp_endpoint: Url | None = None
    exporter_otlp_traces_endpoint: Url | None = None
    exporter_otlp_protocol: Literal["http/protobuf"] = "http/protobuf"
    exporter_otlp_traces_protocol: Literal["http/protobuf"] = "http/protobuf"
    traces_sampler: Sampler | None = None
    traces_sampler_arg: Annotated[float, Field(ge=0, le=1)] | None = None

    @model_validator(mode="after")
    def _a_ratio_is_given(self) -> Self:
        if "ratio" in (self.traces_sampler or "") and self.traces_sampler_arg is None:
            raise ValueError("this TRACES_SAMPLER needs TRACES_SAMPLER_ARG, from 0 to 1")
        return self


def load_settings() -> Settings:
    """Settings from the environment. Raises SettingsError with a line for each error."""
    try:
        return Settings()
    except ValidationError as error:
        raise _faults(error, ENV_PREFIX) from None


def load_trace_settings() -> TraceSettings | None:
    """None where no endpoint for traces is set. Raises SettingsError with a line for each error."""
    given = {name: os.environ.get(OTEL_PREFIX + name, "") for name in _TRACE_SWITCHES}
    endpoint = given["EXPORTER_OTLP_TRACES_ENDPOINT"] or given["EXPORTER_OTLP_ENDPOINT"]
    off = given["SDK_DISABLED"].lower() == "true" or given["TRACES_EXPORTER"] == "none"
    if off or not endpoint:
        return None
    try:
        return TraceSettings()
    except ValidationError as error:
        raise _faults(error, OTEL_PREFIX) from None


def _faults(error: ValidationError, prefix: str) -> SettingsError:
    return SettingsError([_fault(dict(fault), prefix) for fault in error.errors()])


def _fault(fault: dict[str, object], prefix: str) -> str:
    """The variable and what is wrong with it; never its value, which may be a secret."""
    location = fault["loc"]
    names = [str(part) for part in location] if isinstance(location, tuple) else []
    name = prefix + (names[0].upper() if names else "*")
    if fault["type"] == "missing":
        return f"{name} is not set; it is required"
    return f"{name}: {str(fault['msg']).removeprefix('Value error, ')}"
