"""The check of this clock by S3's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from image_service.tools.doctor.diagnosis import Diagnosis, failed, warning, well

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

_LATE_SECONDS: Final = 10  # what tokens may be off by
_WRONG_SECONDS: Final = 60


class ClockCheck:
    """A `SystemCheck`. Signatures and tokens depend on this clock."""

    name = "clock"

    def __init__(
        self,
        client: S3Client,
        bucket: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._now = now

    async def examine(self) -> Sequence[Diagnosis]:
        before = self._now()
        date = await self._date()
        middle = before + (self._now() - before) / 2
        if date is None:
            detail = "S3 did not say what time it is"
            return [warning(self.name, detail, "see the line of the bucket")]
        # A whole second; on average half of it is over.
        seconds = abs((middle - date).total_seconds() - 0.5)
        direction = "ahead of" if middle > date else "behind"
        if seconds <= _LATE_SECONDS:
            return [well(self.name, f"within {max(1, round(seconds))} s of S3's")]
        diagnose = failed if seconds > _WRONG_SECONDS else warning
        detail = f"{seconds:.0f} s {direction} S3's: tokens and signatures may be refused"
        return [diagnose(self.name, detail, "set it by NTP (chrony, or the host's)")]

    async def _date(self) -> datetime | None:
        try:
            response: Any = await self._client.head_bucket(Bucket=self._bucket)
        except ClientError as error:  # a refusal is dated, too
            response = error.response
        except BotoCoreError:
            return None
        header = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
        try:
            return parsedate_to_datetime(header).astimezone(UTC)
        except ValueError:
            return None
