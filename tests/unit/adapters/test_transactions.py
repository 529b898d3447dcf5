"""Transactions that contend, in a store whose time is virtual."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests import dice, virtual_time

from image_service.adapters.dynamodb.transactions import Transactions
from image_service.domain.errors import Contended
from image_service.domain.time_limits import TRANSACTION_PATIENCE

TRANSACTION = 0.015  # seconds; what one takes in a region, about


class OneAtATime:
    """All transactions touch the user's counter: while one runs, others are refused."""

    def __init__(self) -> None:
        self.meta = SimpleNamespace(events=SimpleNamespace(register=lambda *_, **__: None))
        self.busy = False
        self.written = self.refused = 0

    async def transact_write_items(self, **_: Any) -> None:
        if self.busy:
            self.refused += 1
            raise ClientError(
                {
                    "ResponseMetadata": {"HTTPStatusCode": 400},  # type: ignore[typeddict-item]
                    "Error": {"Code": "TransactionCanceledException", "Message": ""},
                    "CancellationReasons": [{"Code": "TransactionConflict"}],  # type: ignore[typeddict-unknown-key]
                },
                "TransactWriteItems",
            )
        self.busy = True
        await asyncio.sleep(TRANSACTION)
        self.busy = False
        self.written += 1


@pytest.fixture(autouse=True)
def _same_dice() -> Iterator[None]:
    before = random.getstate()
    random.seed(dice.SEED)
    yield
    random.setstate(before)


@virtual_time.MARK
@pytest.mark.parametrize("uploads", [50, 100])
async def test_contention_passes_well_within_the_patience(uploads: int) -> None:
    store: Any = OneAtATime()
    transactions = Transactions(store)
    began = asyncio.get_running_loop().time()
    await asyncio.gather(*(transactions.run([]) for _ in range(uploads)))
    assert store.written == uploads
    assert store.refused > uploads  # there was contention to speak of
    assert asyncio.get_running_loop().time() - began < TRANSACTION_PATIENCE / 2


@virtual_time.MARK
async def test_contention_without_end_is_given_up_in_time() -> None:
    store: Any = OneAtATime()
    store.busy = True
    began = asyncio.get_running_loop().time()
    with pytest.raises(Contended):
        await Transactions(store).run([])
    assert asyncio.get_running_loop().time() - began < TRANSACTION_PATIENCE + 1
