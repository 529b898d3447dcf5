from __future__ import annotations

from fnmatch import fnmatchcase

from tests.contract.conftest import Purges

from image_service.adapters.aws.cloudfront import NullCdn


async def test_paths_are_dropped_under_their_reference(purges: Purges, unique: str) -> None:
    paths = [f"/images/auth0%7C{unique}/a.webp", f"/images/auth0%7C{unique}/thumbnails/a.webp"]

    await purges.cdn.invalidate(paths, f"first-{unique}")
    await purges.cdn.invalidate(paths[:1], f"second-{unique}")

    dropped = await purges.read()
    assert dropped[f"first-{unique}"] == set(paths)
    assert dropped[f"second-{unique}"] == set(paths[:1])


async def test_files_of_one_image_are_dropped(purges: Purges, unique: str) -> None:
    """Each by itself, or all of one folder's name with one wildcard."""
    paths = [f"/images/{unique}/a.webp", f"/images/{unique}/a/w320.webp"]

    await purges.cdn.invalidate(paths, unique)

    of_ours = [paths for name, paths in (await purges.read()).items() if name.startswith(unique)]
    (dropped,) = of_ours
    assert all(any(fnmatchcase(path, pattern) for pattern in dropped) for path in paths)
    assert not any(fnmatchcase(f"/images/{unique}/b.webp", pattern) for pattern in dropped)


async def test_nothing_to_drop_is_no_purge(purges: Purges, unique: str) -> None:
    await purges.cdn.invalidate([], unique)

    assert unique not in await purges.read()


async def test_without_a_cdn_nothing_is_to_be_done() -> None:
    await NullCdn().invalidate(["/images/a.webp"], "reference")
