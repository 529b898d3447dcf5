"""Settings of the service: the class that docs/settings.md is made from."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from image_service.domain.limits import (
    MACHINE_REQUEST_RATE,
    MAX_FILE_BYTES,
    MAX_SIDE,
    MIN_SIDE,
    PICTURE_CPU_SECONDS,
    REQUEST_RATE,
    UPLOAD_RATE,
    USER_SHARE,
)
from image_service.domain.renditions import WIDTHS
from image_service.domain.task_size import LEAST_MEMORY
from image_service.settings.errors import SettingsError, errors_in
from image_service.settings.former import ENV_PREFIX, refused_settings
from image_service.settings.values import (
    ClientId,
    CommaSeparated,
    HeaderName,
    HeaderValue,
    NonEmpty,
    Origin,
    Rate,
    RedisUrl,
    Url,
    Widths,
)

MIB = 1024 * 1024
FORM_BYTES = 128 * 1024  # what a form may have besides its file


class Settings(BaseSettings):
    """One frozen value; `Settings()` reads `IMAGE_SERVICE_*`. Sizes in bytes, times in seconds."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_ignore_empty=True,  # compose files and task definitions write unset ones as empty
        frozen=True,
        allow_inf_nan=False,
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

    # Who may come in
    cognito_issuer: Url
    """`https://cognito-idp.<region>.amazonaws.com/<pool>`."""
    cognito_client_ids: Annotated[
        frozenset[NonEmpty], NoDecode, CommaSeparated, Field(min_length=1)
    ]
    """The app clients whose tokens are accepted."""
    service_client_ids: Annotated[frozenset[ClientId], NoDecode, CommaSeparated] = frozenset()
    """The app clients that are machines: their client-credentials tokens may read images by id, and
    act for the user in `On-Behalf-Of`. Without it, there are none."""
    service_scope_prefix: Annotated[str, Field(pattern=r"^[!#-\[\]-~]{1,256}$")] = "image-service"
    """The resource server of the machines' scopes, which are `<prefix>/read` and
    `<prefix>/write`."""
    admin_groups: Annotated[frozenset[NonEmpty], NoDecode, CommaSeparated] = frozenset()
    """The groups of the pool whose users are administrators: they may read and list all images,
    and delete them. Without it, there are none."""
    jwks_url: Url | None = None
    """The address of the pool's keys; without it, `/.well-known/jwks.json` under the issuer."""
    cors_origins: Annotated[tuple[Origin, ...], NoDecode, CommaSeparated] = ()
    """Origins of web pages that may call the service: `https://app.example.com`,
    `https://*.example.com`; of hybrid apps: `capacitor://localhost`; on one's own machine
    `http://localhost:*`, any port."""
    cors_headers: Annotated[tuple[HeaderName, ...], NoDecode, CommaSeparated] = ()
    """Request headers that pages may send besides the service's own and those of tracing."""
    rate_limit_requests: Rate = REQUEST_RATE
    """Requests of one user over all routes."""
    rate_limit_uploads: Rate = UPLOAD_RATE
    """Uploads of one user; a machine has as many again for each user it acts for."""
    rate_limit_machines: Rate = MACHINE_REQUEST_RATE
    """Requests of one machine over all routes and users."""

    # Pictures
    max_file_bytes: PositiveInt = MAX_FILE_BYTES
    """Bytes of an uploaded file."""
    min_dimension: PositiveInt = MIN_SIDE
    """Pixels of a picture's shorter side, at least."""
    max_dimension: PositiveInt = MAX_SIDE
    """Pixels of a picture's longer side, at most."""
    rendition_widths: Annotated[Widths, NoDecode, CommaSeparated] = WIDTHS
    """Widths, in pixels, that pictures are also stored at, for `srcset`, where they are wider;
    `none`, or set and empty: none."""
    picture_cpu_seconds: Annotated[int, Field(ge=1, le=60)] = PICTURE_CPU_SECONDS
    """Seconds of CPU the processing of a picture may take, held by the kernel."""

    # The task's size, and what follows from it: docs/scaling.md, "Size a task"
    task_cpus: PositiveFloat | None = None
    """CPUs of the task, such as `0.25`; without it, those of its control group (cgroup), or of the
    machine."""
    task_memory_bytes: Annotated[int, Field(ge=LEAST_MEMORY)] | None = None
    """Memory of the task; without it, its control group's, or 2 GiB where nothing limits it."""
    worker_threads: Annotated[int, Field(ge=1, le=256)] | None = None
    """Pictures processed at the same time; without it, one for each CPU of the task, as far as its
    memory has room for them."""
    max_uploads: PositiveInt | None = None
    """Uploads in the process at the same time, from the first byte to the response; without it,
    by the memory of the task, as the next two."""
    upload_memory_bytes: PositiveInt | None = None
    """Bytes of the bodies of all uploads in the process."""
    decode_memory_bytes: Annotated[int, Field(ge=96 * MIB)] | None = None
    """Bytes that the pictures being processed may take together, estimated from their headers."""
    user_share: Annotated[float, Field(gt=0, le=1)] = USER_SHARE
    """The largest share of uploads, their bytes and the waiting pictures that one user gets."""
    max_connections: PositiveInt = 1_000
    """Connections served at once, fewer where the limit of open files is lower; past that, a
    new one replaces the one that has been idle longest."""
    drain_seconds: NonNegativeFloat = 10.0
    """Seconds after SIGTERM during which the task is not ready, but serves (`dev`: 0)."""

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

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        emptied = _Emptied(settings_cls)
        return init_settings, env_settings, emptied, dotenv_settings, file_secret_settings

    @property
    def jwks_location(self) -> str:
        return self.jwks_url or f"{self.cognito_issuer}/.well-known/jwks.json"

    @model_validator(mode="after")
    def _dimensions_in_order(self) -> Self:
        if self.min_dimension > self.max_dimension:
            raise ValueError("MIN_DIMENSION must not be above MAX_DIMENSION")
        return self

    @model_validator(mode="after")
    def _machines_apart(self) -> Self:
        if self.service_client_ids & self.cognito_client_ids:
            raise ValueError(
                "SERVICE_CLIENT_IDS must have clients of its own, none of COGNITO_CLIENT_IDS"
            )
        return self

    @model_validator(mode="after")
    def _one_upload_fits(self) -> Self:
        least = self.max_file_bytes + FORM_BYTES
        if self.upload_memory_bytes is not None and self.upload_memory_bytes < least:
            raise ValueError(
                "UPLOAD_MEMORY_BYTES must take at least one upload: "
                f"MAX_FILE_BYTES and {FORM_BYTES:,} for the rest of its form"
            )
        return self


class _Emptied(EnvSettingsSource):
    """Settings that are set and empty, where that says something: all others count as not set."""

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        super().__init__(settings_cls, env_ignore_empty=False)

    def __call__(self) -> dict[str, Any]:
        return {"rendition_widths": ""} if super().__call__().get("rendition_widths") == "" else {}


def load_settings() -> Settings:
    """Settings from the environment. Raises SettingsError with a line for each error."""
    errors = refused_settings()
    try:
        settings = Settings()
    except ValidationError as error:
        raise SettingsError([*errors_in(error, ENV_PREFIX), *errors]) from None
    if errors:
        raise SettingsError(errors)
    return settings
