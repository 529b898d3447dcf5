"""All settings, from the environment; read by `app`, `bootstrap` and `cli` alone.

AWS credentials, the region and endpoint overrides go by their standard AWS names and are
read by botocore itself; where traces go, by OpenTelemetry's, most of which its SDK reads.
"""

from image_service.settings.errors import SettingsError
from image_service.settings.former import ENV_PREFIX, ignored_settings
from image_service.settings.service import FORM_BYTES, Settings, load_settings
from image_service.settings.traces import TraceSettings, load_trace_settings

__all__ = [
    "ENV_PREFIX",
    "FORM_BYTES",
    "Settings",
    "SettingsError",
    "TraceSettings",
    "ignored_settings",
    "load_settings",
    "load_trace_settings",
]
