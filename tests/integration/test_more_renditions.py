"""One more row in the table of renditions, from an upload to its deletion."""

from __future__ import annotations

from tests.integration.world import DAY, World

from image_service.domain.images import CdnUrls
from image_service.domain.renditions import RENDITIONS, RenditionSpec
from image_service.tools.reconcile.findings import FindingKind

MORE = RenditionSpec(name="w800", fit="width", side=800, quality=80, effort=4)


async def test_everything_follows_a_new_row(world: World) -> None:
    older = await world.upload("alice", album_id="castles")
    world.renditions = (*RENDITIONS, MORE)
    image = await world.upload("alice", album_id="castles")
    key = f"images/alice/{image.id}/w800.webp"
    assert image.renditions["w800"].key == key
    assert await world.repository.get(image.id) == image
    assert await world.files() == {*older.object_keys, *image.object_keys}
    world.ahead = DAY
    assert (await world.reconcile()).clean

    await world.objects.delete([key])
    (finding,) = (await world.reconcile()).findings
    assert (finding.kind, finding.detail) == (FindingKind.MISSING_FILE, key)

    await world.objects.put(key, b"another", "image/webp")
    (finding,) = (await world.reconcile()).findings
    bytes_of = f"7 bytes, not {image.renditions['w800'].size_bytes}"
    assert (finding.kind, finding.detail) == (FindingKind.OTHER_SIZE, f"{key}: {bytes_of}")

    await world.delete(image)
    await world.processor.drain()
    assert await world.files() == set(older.object_keys)
    purged = {path for purge in world.cdn.invalidations for path in purge.paths}
    assert purged == {CdnUrls.path(each) for each in image.object_keys}
    assert (await world.reconcile()).clean


async def test_a_file_of_a_new_row_that_no_image_has_is_removed(world: World) -> None:
    world.renditions = (*RENDITIONS, MORE)
    image = await world.upload("alice")
    orphan = MORE.key("alice", image.id[:-1] + ("0" if image.id[-1] != "0" else "1"))
    await world.objects.put(orphan, b"dead", "image/webp")
    world.ahead = DAY
    (finding,) = (await world.reconcile(fix=True)).findings
    assert (finding.kind, finding.subject, finding.fixed) == (
        FindingKind.ORPHANED_FILE,
        orphan,
        True,
    )
    assert await world.files() == set(image.object_keys)
