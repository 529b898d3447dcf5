"""Ports of the doctor, beside `ports`.

Nothing that serves a request may use these: they look at how systems are set up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from image_service.tools.doctor.diagnosis import Diagnosis


class SystemCheck(Protocol):
    """A look at one system. `name` stands on its line where it can't say more itself."""

    @property
    def name(self) -> str: ...

    async def examine(self) -> Sequence[Diagnosis]:
        """At least one. Holds no secret and no text of a vendor's, which may quote some.

        Raises AwsError with the only one, where a call that all others need fails.
        """
        ...
