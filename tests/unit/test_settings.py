from __future__ import annotations

import os

import pytest
from pydantic import SecretStr

from image_service.domain.limits import USER_REQUESTS
from image_service.domain.renditions import RENDITIONS
from image_service.domain.time_limits import TimeLimits
from image_service.settings import (
    ENV_PREFIX,
    Settings,
    SettingsError,
    former,
    ignored_settings,
    load_settings,
)

REQUIRED = {
    "STAGE": "dev",
    "TABLE_NAME": "ImageMetadata-dev",
    "BUCKET": "images-lego-moc-dev",
    "CDN_BASE_URL": "https://images-dev.lego-api.com/",
    "COGNITO_ISSUER": "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_abc",
    "COGNITO_CLIENT_IDS": "web, mobile",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in [name for name in os.environ if name.startswith("IMAGE_SERVICE_")]:
        monkeypatch.delenv(name)
    for name, value in REQUIRED.items():
        monkeypatch.setenv(f"IMAGE_SERVICE_{name}", value)
    return monkeypatch


def test_the_required_ones_suffice(environment: pytest.MonkeyPatch):
    settings = load_settings()
    assert settings.cognito_client_ids == {"web", "mobile"}
    assert settings.cdn_base_url == "https://images-dev.lego-api.com"
    assert settings.jwks_location == (
        "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_abc/.well-known/jwks.json"
    )
    assert settings.max_file_bytes == 10_485_760
    assert (settings.rate_limit_requests, settings.rate_limit_uploads) == (
        "1000/second",
        "100/minute",
    )
    assert settings.cors_origins == ()


def test_machines_and_administrators_are_none_unless_listed(environment: pytest.MonkeyPatch):
    settings = load_settings()
    assert settings.service_client_ids == settings.admin_groups == frozenset()
    assert settings.service_scope_prefix == "image-service"
    environment.setenv("IMAGE_SERVICE_SERVICE_CLIENT_IDS", "main-api , thumbnailer")
    environment.setenv("IMAGE_SERVICE_ADMIN_GROUPS", "image-admins,root")
    settings = load_settings()
    assert settings.service_client_ids == {"main-api", "thumbnailer"}
    assert settings.admin_groups == {"image-admins", "root"}


def test_no_client_is_both_users_and_a_machine(environment: pytest.MonkeyPatch):
    environment.setenv("IMAGE_SERVICE_SERVICE_CLIENT_IDS", "main-api,web")
    with pytest.raises(SettingsError) as error:
        load_settings()
    [line] = error.value.errors
    assert "SERVICE_CLIENT_IDS must have clients of its own, none of COGNITO_CLIENT_IDS" in line


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_one_is_named(environment: pytest.MonkeyPatch, name: str):
    environment.delenv(f"IMAGE_SERVICE_{name}")
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert error.value.errors == [f"IMAGE_SERVICE_{name} is not set; it is required"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STAGE", "Prod!"),
        ("TABLE_NAME", ""),
        ("TABLE_NAME", "x y"),
        ("CDN_BASE_URL", "images.example.com"),
        ("CDN_BASE_URL", "https://user:secret-value@example.com/?a=secret-value"),
        ("COGNITO_CLIENT_IDS", " , "),
        ("SERVICE_CLIENT_IDS", "main api"),
        ("SERVICE_SCOPE_PREFIX", "image service"),
        ("SERVICE_SCOPE_PREFIX", 'image"service'),
        ("RATE_LIMIT_MACHINES", "all"),
        ("CORS_ORIGINS", "https://*.example.com/secret-value"),
        ("CORS_ORIGINS", "*"),
        ("RATE_LIMIT_UPLOADS", "many"),
        ("RATE_LIMIT_UPLOADS", "0/second"),
        ("RATE_LIMIT_REQUESTS", "10/second;5/minute"),
        ("BUCKET", "B_B"),
        ("OBJECT_CACHE_CONTROL", "public\nX-Evil: 1"),
        ("MAIN_SIZE", "20000"),
        ("TASK_CPUS", "0"),
        ("TASK_CPUS", "inf"),
        ("DRAIN_SECONDS", "inf"),
        ("USER_SHARE", "nan"),
        ("TASK_MEMORY_BYTES", "1024"),
        ("UPLOAD_MEMORY_BYTES", "1024"),
        ("CORS_HEADERS", "*"),
        ("CORS_HEADERS", "X-Tenant: 1"),
        ("PORT", "eighty"),
        ("WORKER_THREADS", "0"),
        ("MIN_DIMENSION", "9000"),
        ("STORAGE_CLASS", "GLACIER"),
        ("RENDITION_WIDTHS", "320,wide"),
        ("RENDITION_WIDTHS", "320,none"),
        ("RENDITION_WIDTHS", "320,640.5"),
        ("RENDITION_WIDTHS", "15,320"),
        ("RENDITION_WIDTHS", "320,2048"),
        ("RENDITION_WIDTHS", "320,640,320"),
        ("RENDITION_WIDTHS", "100,200,300,400,500,600,700,800,900"),
    ],
)
def test_a_wrong_one_is_one_clear_line(environment: pytest.MonkeyPatch, name: str, value: str):
    environment.setenv(f"IMAGE_SERVICE_{name}", value)
    with pytest.raises(SettingsError) as error:
        load_settings()
    (fault,) = error.value.errors
    assert name in fault
    assert "\n" not in fault


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (None, (320, 640, 1280)),
        ("", ()),
        (" ", ()),
        ("none", ()),
        ("1280, 480", (480, 1280)),
        ("16,2047", (16, 2047)),
    ],
)
def test_rendition_widths(
    environment: pytest.MonkeyPatch, given: str | None, kept: tuple[int, ...]
):
    if given is not None:
        environment.setenv("IMAGE_SERVICE_RENDITION_WIDTHS", given)
    assert load_settings().rendition_widths == kept


def test_an_empty_one_counts_as_not_set(environment: pytest.MonkeyPatch):
    for name in ("PORT", "CORS_ORIGINS", "REDIS_URL", "STORAGE_CLASS"):
        environment.setenv(f"IMAGE_SERVICE_{name}", "")
    settings = load_settings()
    assert (settings.port, settings.cors_origins, settings.redis_url) == (8000, (), None)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://Example.com", "https://example.com"),
        ("https://example.com:443", "https://example.com"),  # browsers leave it out
        ("http://localhost:80", "http://localhost"),
        ("http://localhost:443", "http://localhost:443"),
        ("https://*.lego-api.com", "https://*.lego-api.com"),
        ("https://*.lego.co.uk:8443", "https://*.lego.co.uk:8443"),
        ("https://*.bricks.github.io", "https://*.bricks.github.io"),
        ("https://*.intern.corp", "https://*.intern.corp"),
        *((each, each) for each in ("capacitor://localhost", "ionic://localhost", "ionic://")),
        *((each, each) for each in ("tauri://localhost", "com.example.app://x")),
        *((each, each) for each in ("http://localhost:*", "http://127.0.0.1:*")),
    ],
)
def test_cors_origins(environment: pytest.MonkeyPatch, given: str, kept: str):
    environment.setenv("IMAGE_SERVICE_CORS_ORIGINS", f"{given}, https://other.example")
    assert load_settings().cors_origins == (kept, "https://other.example")


@pytest.mark.parametrize("given", ["https://*.com", "https://*.co.uk", "https://*.CO.uk:8443",
    "https://*.github.io", "https://*.vercel.app", "https://*.s3.amazonaws.com",
    "http://*.localhost"])  # fmt: skip
def test_a_public_suffix_is_not_one_owners(environment: pytest.MonkeyPatch, given: str):
    environment.setenv("IMAGE_SERVICE_CORS_ORIGINS", given)
    with pytest.raises(SettingsError, match="public suffix"):
        load_settings()


@pytest.mark.parametrize(
    "given",
    [
        "https://example.com/",
        "*://example.com",
        "https://",
        "https://a.*.com",
        "https://example.com:*",
        "https://*",
        "file://",
        "null",
        "http://[::1",
    ],
)
def test_what_is_no_origin(environment: pytest.MonkeyPatch, given: str):
    environment.setenv("IMAGE_SERVICE_CORS_ORIGINS", given)
    with pytest.raises(SettingsError, match="is not an origin such as"):
        load_settings()


def test_all_faults_are_told_at_once(environment: pytest.MonkeyPatch):
    environment.setenv("IMAGE_SERVICE_PORT", "eighty")
    environment.setenv("IMAGE_SERVICE_USER_SHARE", "7")
    environment.delenv("IMAGE_SERVICE_BUCKET")
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert len(error.value.errors) == 3


@pytest.mark.parametrize(
    "url",
    [
        "redis://cache",
        "rediss://someone:s3cret@master.cache.example.com:6379/0",
        "redis://:s3cret@10.0.0.1:6379?ssl_cert_reqs=none",
        "redis://[::1]:6379",
    ],
)
def test_redis_is_optional_and_its_url_a_secret(environment: pytest.MonkeyPatch, url: str):
    assert load_settings().redis_url is None
    environment.setenv("IMAGE_SERVICE_REDIS_URL", url)
    settings = load_settings()
    assert settings.redis_url is not None
    assert settings.redis_url.get_secret_value() == url
    assert (
        url not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    )


@pytest.mark.parametrize(
    ("name", "value", "setting", "expected"),
    [
        ("REDIS_URL", "rediss://:s3cret@cache:6379\n", "redis_url", "rediss://:s3cret@cache:6379"),
        ("CLOUDFRONT_DISTRIBUTION_ID", "E123\n", "cloudfront_distribution_id", "E123"),
        ("COGNITO_ISSUER", " https://issuer.test\r\n", "cognito_issuer", "https://issuer.test"),
        ("BUCKET", "bucket-of-tests\n", "bucket", "bucket-of-tests"),
        ("COGNITO_CLIENT_IDS", "web, app\n", "cognito_client_ids", frozenset({"web", "app"})),
        ("RATE_LIMIT_UPLOADS", "7/minute\n", "rate_limit_uploads", "7/minute"),
    ],
)
def test_what_a_stored_value_ends_with_is_cut_off(
    environment: pytest.MonkeyPatch, name: str, value: str, setting: str, expected: object
):
    environment.setenv(f"IMAGE_SERVICE_{name}", value)
    found = getattr(load_settings(), setting)
    assert (found.get_secret_value() if isinstance(found, SecretStr) else found) == expected


@pytest.mark.parametrize(
    "credentials", [":s3cret%0A", ":s3cret%0a", ":s3%00cret", "us%0Der:s3cret", ":s3\x7fcret"]
)
def test_a_redis_password_that_is_not_printable_is_refused_unshown(
    environment: pytest.MonkeyPatch, credentials: str
):
    environment.setenv("IMAGE_SERVICE_REDIS_URL", f"rediss://{credentials}@cache:6379/0")
    with pytest.raises(SettingsError, match="IMAGE_SERVICE_REDIS_URL: user and pass") as error:
        load_settings()
    assert "s3" not in str(error.value)


@pytest.mark.parametrize(
    "url",
    ["s3cret", "http://s3cret", "redis://", "redis:///0", "redis://u:s3cret@", "unix:///s3cret"],
)
def test_a_redis_url_it_cannot_use_is_refused_unshown(environment: pytest.MonkeyPatch, url: str):
    environment.setenv("IMAGE_SERVICE_REDIS_URL", url)
    with pytest.raises(SettingsError, match="IMAGE_SERVICE_REDIS_URL: must be redis://") as error:
        load_settings()
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize("name", [*former._IGNORED, *former._FIXED])
def test_a_former_one_is_told(environment: pytest.MonkeyPatch, name: str):
    assert name.lower() not in Settings.model_fields
    assert ignored_settings() == []
    environment.setenv(f"{ENV_PREFIX}{name}", former._FIXED.get(name, "7"))
    load_settings()
    [line] = ignored_settings()
    assert line.startswith(f"{ENV_PREFIX}{name} is no longer a setting, and ignored: ")


def test_a_former_one_is_seen_in_any_case(environment: pytest.MonkeyPatch):
    environment.setenv(f"{ENV_PREFIX}stage".lower(), "any")
    environment.setenv(f"{ENV_PREFIX}queue_timeout".lower(), "7")
    [line] = ignored_settings()
    assert line.startswith(f"{ENV_PREFIX}QUEUE_TIMEOUT is no longer")
    environment.setenv(f"{ENV_PREFIX}main_size".lower(), "100")
    with pytest.raises(SettingsError, match="MAIN_SIZE is no longer a setting"):
        load_settings()


@pytest.mark.parametrize("name", former._FIXED)
def test_pictures_that_would_be_other_ones_stop_the_start(
    environment: pytest.MonkeyPatch, name: str
):
    environment.setenv(f"{ENV_PREFIX}{name}", "1")
    with pytest.raises(SettingsError) as error:
        load_settings()
    value = former._FIXED[name]
    assert error.value.errors == [
        f"{ENV_PREFIX}{name} is no longer a setting: it is {value}; remove it"
    ]


def test_what_is_said_of_former_ones_is_so():
    main, thumbnail = RENDITIONS[:2]
    assert {
        "MAIN_SIZE": str(main.side),
        "MAIN_QUALITY": str(main.quality),
        "THUMBNAIL_SIZE": str(thumbnail.side),
        "THUMBNAIL_QUALITY": str(thumbnail.quality),
        "WEBP_EFFORT": str(main.effort),
    } == former._FIXED
    for name, now in former._IGNORED.items():
        limit = getattr(TimeLimits, name.lower(), None)
        if limit is not None:
            shown = f"{limit // 1024} KiB" if name == "UPLOAD_MIN_RATE" else f"{limit:g} s"
            assert shown in now
    assert str(USER_REQUESTS) in former._IGNORED["MAX_USER_REQUESTS"]
