"""OpenTelemetry: spans made of what the observers are told. See `docs/tracing.md`.

Imported only where there is somebody to send them to.
"""

from image_service.telemetry.tracing.lifetime import OtelTracing
from image_service.telemetry.tracing.sampling import new_sampler

__all__ = ["OtelTracing", "new_sampler"]
