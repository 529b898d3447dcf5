from __future__ import annotations

from image_service.domain.renditions import MAIN, RENDITIONS, table
from image_service.domain.time_limits import TimeLimits
from image_service.services.admission import AdmissionLimits
from image_service.settings import Settings
from image_service.tools.rerender.terminal import main_picture_limits


def test_main_pictures_are_read_whatever_uploads_may_measure_today() -> None:
    settings = Settings(
        stage="dev",
        bucket="pictures",
        table_name="images",
        cdn_base_url="https://cdn.example.com",
        cognito_issuer="https://issuer.example.com/pool",
        cognito_client_ids=frozenset({"app"}),
        max_dimension=1000,
    )
    (side,) = (spec.side for spec in RENDITIONS if spec.name == MAIN)
    specs = table((100, 1900))
    by_width = [spec for spec in specs if spec.fit == "width"]
    limits = main_picture_limits(settings, by_width, AdmissionLimits(), TimeLimits())
    limits.check(side, 1)
    limits.check(1, side)
    assert tuple(limits.renditions) == specs
