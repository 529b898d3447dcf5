from __future__ import annotations

from tests.contract.conftest import Purges

from image_service.adapters.aws.cloudfront import NullCdn


async def test_paths_are_dropped_under_their_reference(purges: Purges, unique: str) -> None:
    paths = [f"/images/auth0%7C{unique}/a.webp", f"/images/auth0%7C{unique}/thumbnails/a.webp"]

    await purges.cdn.invalidate(paths, f"first-{unique}")
    await purges.cdn.invalidate(paths[:1], f"second-{unique}")

    dropped = await purges.read()
    assert dropped[f"first-{unique}"] == set(paths)
    assert dropped[f"second-{unique}"] == set(paths[:1])


async def test_nothing_to_drop_is_no_purge(purges: Purges, unique: str) -> None:
    await purges.cdn.invalidate([], unique)

    assert unique not in await purges.read()


async def test_without_a_cdn_nothing_is_to_be_done() -> None:
    await NullCdn().invalidate(["/images/a.webp"], "reference")
