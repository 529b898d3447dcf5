"""Settings of traces: the standard `OTEL_*` variables."""

from __future__ import annotations

import os
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from image_service.settings.errors import SettingsError, errors_in
from image_service.settings.values import Url

OTEL_PREFIX = "OTEL_"
_TRACE_SWITCHES = (
    "EXPORTER_OTLP_ENDPOINT",
    "EXPORTER_OTLP_TRACES_ENDPOINT",
    "SDK_DISABLED",
    "TRACES_EXPORTER",
)
Sampler = Literal[
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
]


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
        raise SettingsError(errors_in(error, OTEL_PREFIX)) from None
