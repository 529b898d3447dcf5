"""The seed of all random tests: the same in each run, unless IMAGE_SERVICE_TEST_SEED says another.

With the same dice a red run means that the change is at fault. `random` throws new ones, which is
for searching: `make test-chaos` and the weekly run do. A number repeats such a run.
"""

from __future__ import annotations

import os
import random
from typing import Final

_SAID: Final = os.environ.get("IMAGE_SERVICE_TEST_SEED", "20261130")
SAME_EACH_TIME: Final = _SAID != "random"
SEED: Final = int(_SAID) if SAME_EACH_TIME else random.randrange(2**31)
