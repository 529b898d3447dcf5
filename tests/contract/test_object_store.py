from __future__ import annotations

from tests.contract.conftest import Objects
from tests.fakes import StoredObject


async def test_what_was_put_is_there(objects: Objects, unique: str) -> None:
    key = f"images/auth0|{unique}/ä b.webp"
    data = bytes(range(256)) * 1000

    await objects.store.put(key, data, "image/webp")

    assert await objects.read(key) == StoredObject(data, "image/webp")


async def test_delete_removes_just_the_named(objects: Objects, unique: str) -> None:
    kept, first, second = (f"images/{unique}/{name}.webp" for name in "abc")
    for key in (kept, first, second):
        await objects.store.put(key, b"picture", "image/webp")

    await objects.store.delete([first, second])

    assert await objects.read(first) is None
    assert await objects.read(second) is None
    assert await objects.read(kept) is not None


async def test_delete_is_repeatable_and_knows_absent_keys(objects: Objects, unique: str) -> None:
    key = f"images/{unique}/a.webp"
    await objects.store.put(key, b"picture", "image/webp")

    await objects.store.delete([key, f"images/{unique}/never.webp"])
    await objects.store.delete([key])

    assert await objects.read(key) is None


async def test_knows_what_is_there(objects: Objects, unique: str) -> None:
    key = f"images/auth0|{unique}/ä b.webp"
    assert not await objects.store.exists(key)
    await objects.store.put(key, b"picture", "image/webp")
    assert await objects.store.exists(key)
    await objects.store.delete([key])
    assert not await objects.store.exists(key)


async def test_delete_of_nothing(objects: Objects) -> None:
    await objects.store.delete([])


async def test_delete_takes_a_thousand_keys(objects: Objects, unique: str) -> None:
    keys = [f"images/{unique}/{number}.webp" for number in range(1_000)]
    await objects.store.put(keys[-1], b"picture", "image/webp")

    await objects.store.delete(keys)

    assert await objects.read(keys[-1]) is None
