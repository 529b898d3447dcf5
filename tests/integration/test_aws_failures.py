"""Failures of the network and of AWS, as the services get to see them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
from tests import engines
from tests.contract.samples import make_image, moment
from tests.integration import faults
from tests.integration.faults import FaultyServer
from tests.integration.table import Table
from tests.integration.world import World

from image_service.adapters.aws.cloudfront import CloudFrontCdn
from image_service.adapters.aws.s3 import S3Health, S3ObjectStore
from image_service.adapters.dynamodb import DynamoImageLists, DynamoImageRepository
from image_service.adapters.dynamodb.transactions import Actions, Transactions
from image_service.devstack.aws import create_table
from image_service.domain.errors import CdnBusy, CdnRefused, DependencyUnavailable, OutcomeUnknown
from image_service.domain.listing import ListQuery

TABLE_NAME = "ImageMetadata-faults"
CANCELLED = "TransactionCanceledException"


@pytest.fixture
def server(dynamodb_endpoint: str) -> FaultyServer:
    return FaultyServer(dynamodb_endpoint)


@pytest.fixture
async def table(server: FaultyServer, dynamodb_endpoint: str) -> AsyncIterator[Table]:
    async with engines.dynamodb_client(dynamodb_endpoint) as patient:
        await create_table(patient, TABLE_NAME)
    async with server.running() as url, engines.dynamodb_client(url, 1) as client:
        yield Table(client, TABLE_NAME)


@pytest.fixture
def repository(table: Table) -> DynamoImageRepository:
    return table.repository


async def test_conflicts_are_waited_out_with_one_token(
    server: FaultyServer, table: Table, user: str
) -> None:
    image = make_image(user)
    server.script = [
        faults.refusal(CANCELLED, reasons=("None", "TransactionConflict", "None", "None")),
        faults.refusal(CANCELLED, reasons=("None", "ThrottlingError", "None", "None")),
        faults.refusal(CANCELLED, reasons=("ProvisionedThroughputExceeded", *["None"] * 3)),
    ]

    await table.repository.add(image)

    assert await table.repository.get(image.id) == image
    tokens = [body["ClientRequestToken"] for body in server.bodies if "TransactItems" in body]
    assert len(tokens) == 4
    assert len(set(tokens)) == 1


async def test_each_transaction_has_its_own_token(
    server: FaultyServer, repository: DynamoImageRepository, user: str
) -> None:
    await repository.add(make_image(user))
    await repository.add(make_image(user))

    assert len({body["ClientRequestToken"] for body in server.bodies}) == 2


async def test_endless_conflict_ends(server: FaultyServer, table: Table) -> None:
    server.script = [faults.refusal(CANCELLED, reasons=("TransactionConflict",))] * 100
    transactions = Transactions(table.client, patience=0.3)

    with pytest.raises(DependencyUnavailable) as caught:
        await transactions.run([Actions(table.name).put({"PK": "A", "SK": "B"})])

    assert not isinstance(caught.value, OutcomeUnknown)
    assert 1 < len(server.bodies) < 50


async def test_a_lost_answer_is_found_out(server: FaultyServer, table: Table, user: str) -> None:
    image = make_image(user)
    server.script = [faults.lost_answer]

    await table.repository.add(image)

    assert await table.repository.get(image.id) == image
    assert await table.lists.count(user, None) == 1


async def test_a_lost_answer_to_an_edit_is_no_version_mismatch(
    server: FaultyServer, repository: DynamoImageRepository, user: str
) -> None:
    image = make_image(user)
    edited = image.edited({"title": "New"}, moment(1))
    await repository.add(image)
    server.script = [faults.lost_answer]

    await repository.update(image, edited)

    assert await repository.get(image.id) == edited


async def test_a_lost_answer_while_an_album_empties(
    server: FaultyServer, table: Table, user: str
) -> None:
    """That it was the last image is found out by a transaction that fails unheard."""
    image = make_image(user, album_id="castles")
    await table.repository.add(image)
    moved = image.edited({"album_id": "cars"}, moment(1))
    server.script = [faults.lost_answer]
    await table.repository.update(image, moved)
    server.script = [faults.lost_answer]

    await table.repository.mark_deleted(moved, moment(2))

    assert await table.repository.get(image.id) is None
    assert [await table.lists.count(user, album) for album in ("castles", "cars", None)] == [0] * 3


@pytest.mark.parametrize(
    "script",
    [
        [faults.lost_request] * 100,
        [faults.silence] * 100,
        [faults.refusal("InternalServerError", status=500)] * 100,
        [faults.last_connection],
        [faults.lost_request, *[faults.refusal("AccessDeniedException")] * 2],
    ],
    ids=["lost", "no answer", "server error", "lost, then refused", "lost, then denied"],
)
async def test_an_outcome_that_stays_unknown(
    server: FaultyServer,
    table: Table,
    user: str,
    script: list[faults.Fault],
) -> None:
    server.script = list(script)
    repository = DynamoImageRepository(table.client, table.name, patience=0.5)

    with pytest.raises(OutcomeUnknown) as caught:
        await repository.add(make_image(user))

    assert caught.value.__cause__ is not None
    assert "SECRET" not in caught.value.message


@pytest.mark.parametrize(
    "refusal",
    [
        faults.refusal("AccessDeniedException"),
        faults.refusal("ValidationException"),
        faults.refusal(CANCELLED, reasons=("None", "ValidationError", "None", "None")),
        faults.refusal(CANCELLED, reasons=("TransactionConflict", "ValidationError")),
    ],
)
async def test_a_refusal_is_definite_and_not_repeated(
    server: FaultyServer, repository: DynamoImageRepository, user: str, refusal: faults.Fault
) -> None:
    server.script = [refusal]

    with pytest.raises(DependencyUnavailable) as caught:
        await repository.add(make_image(user))

    assert not isinstance(caught.value, OutcomeUnknown)
    assert len(server.bodies) == 1
    assert "SECRET" not in caught.value.message


async def test_nothing_there_is_definite(server: FaultyServer, table: Table, user: str) -> None:
    server.stop_listening()

    with pytest.raises(DependencyUnavailable) as caught:
        await table.repository.add(make_image(user))

    assert not isinstance(caught.value, OutcomeUnknown)


async def test_failed_reads(server: FaultyServer, table: Table, user: str) -> None:
    image = make_image(user)
    denied = faults.refusal("AccessDeniedException")
    lists = DynamoImageLists(table.client, table.name)
    for call in (
        lambda: table.repository.get(image.id),
        lambda: lists.count(user, None),
        lambda: lists.page(user, ListQuery()),
        lambda: lists.page(user, ListQuery(tags=("lego",))),
    ):
        server.script = [denied]
        with pytest.raises(DependencyUnavailable) as caught:
            await call()
        assert "SECRET" not in caught.value.message


async def test_objects_that_could_not_be_deleted() -> None:
    server = FaultyServer("http://127.0.0.1:9")
    async with server.running() as url, engines.s3_client(url) as client:
        store = S3ObjectStore(
            client, bucket="images", cache_control="private", storage_class="STANDARD"
        )
        server.script = [
            faults.xml_answer(
                '<DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Error>'
                "<Key>a.webp</Key><Code>AccessDenied</Code><Message>SECRET</Message>"
                "</Error></DeleteResult>"
            )
        ]
        with pytest.raises(DependencyUnavailable):
            await store.delete(["a.webp", "b.webp"])


async def test_s3_out_of_reach_is_never_an_unknown_outcome() -> None:
    server = FaultyServer("http://127.0.0.1:9")
    async with server.running() as url, engines.s3_client(url) as client:
        store = S3ObjectStore(
            client, bucket="images", cache_control="private", storage_class="STANDARD"
        )
        server.script = [faults.lost_request] * 3
        with pytest.raises(DependencyUnavailable) as caught:
            await store.put("a.webp", b"picture", "image/webp")
        assert not isinstance(caught.value, OutcomeUnknown)
        server.stop_listening()
        with pytest.raises(DependencyUnavailable):
            await S3Health(client, "images").ping()


async def test_a_silent_s3_is_given_up() -> None:
    server = FaultyServer("http://127.0.0.1:9")
    async with server.running() as url, engines.s3_client(url, 0.2) as client:
        store = S3ObjectStore(
            client, bucket="images", cache_control="private", storage_class="STANDARD"
        )
        server.script = [faults.silence] * 3
        with pytest.raises(DependencyUnavailable):
            await asyncio.wait_for(store.put("a.webp", b"picture", "image/webp"), 60)


@pytest.mark.parametrize(
    ("script", "certain"),
    [
        ([], True),
        ([faults.lost_answer], False),
        ([faults.silence], False),
        ([faults.xml_answer("<Error><Code>SlowDown</Code></Error>", status=503)], False),
    ],
    ids=["at once", "lost answer", "no answer", "slow down"],
)
async def test_a_deletion_that_s3_may_yet_carry_out_is_said_to_be(
    s3_endpoint: str, world: World, script: list[faults.Fault], *, certain: bool
) -> None:
    await world.objects.put("images/a.webp", b"picture", "image/webp")
    server = FaultyServer(s3_endpoint)
    async with server.running() as url, engines.s3_client(url, read_timeout=1) as client:
        objects = S3ObjectStore(
            client, bucket=world.bucket, cache_control="private", storage_class="STANDARD"
        )
        server.script = list(script)
        assert await objects.delete(["images/a.webp"]) is certain
    assert not await world.objects.exists("images/a.webp")


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("TooManyInvalidationsInProgress", 400, CdnBusy),
        ("InvalidArgument", 400, CdnRefused),
        ("BatchTooLarge", 413, CdnRefused),
        ("AccessDenied", 403, DependencyUnavailable),
        ("NoSuchDistribution", 404, DependencyUnavailable),
    ],
)
async def test_cloudfront_says_no(
    code: str, status: int, error: type[DependencyUnavailable]
) -> None:
    server = FaultyServer("http://127.0.0.1:9")
    async with server.running() as url, engines.cloudfront_client(url) as client:
        server.script = [
            faults.xml_answer(
                f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code>"
                "<Message>SECRET</Message></Error></ErrorResponse>",
                status=status,
            )
        ]
        with pytest.raises(DependencyUnavailable) as caught:
            await CloudFrontCdn(client, "E123").invalidate(["/images/a.webp"], "reference")
        assert type(caught.value) is error
        assert "SECRET" not in caught.value.message


def paths_of(image: str) -> list[str]:
    widths = [f"/images/alice/{image}/w{width}.webp" for width in (320, 640)]
    return [f"/images/alice/{image}.webp", f"/images/alice/thumbnails/{image}.webp", *widths]


async def told_of(paths: list[str], *, room: bool = True) -> list[tuple[str, list[str]]]:
    """The calls for `paths`, as reference and paths; without `room`, wildcards are refused."""
    server = FaultyServer("http://127.0.0.1:9")
    told = []
    full = (
        "<ErrorResponse><Error><Type>Sender</Type><Code>TooManyInvalidationsInProgress</Code>"
        "</Error></ErrorResponse>"
    )

    async def watched(server: FaultyServer, request: bytes) -> bytes:
        body = request.decode()
        told.append(
            (
                body.partition("<CallerReference>")[2].partition("<")[0],
                re.findall("<Path>(.*?)</Path>", body),
            )
        )
        if "*" in body.partition("\r\n\r\n")[2] and not room:
            answer: bytes = await faults.xml_answer(full, status=400)(server, request)
        else:
            answer = await faults.xml_answer("<Invalidation/>", status=201)(server, request)
        return answer

    async with server.running() as url, engines.cloudfront_client(url) as client:
        server.script = [watched] * 10
        await CloudFrontCdn(client, "E123").invalidate(paths, "reference")
    return told


async def test_cloudfront_is_told_of_an_image_in_two_paths() -> None:
    assert await told_of([*paths_of("a"), *paths_of("b"), "/images/alice/c/w320.webp"]) == [
        (
            "reference-wildcards",
            [
                "/images/alice/a*",
                "/images/alice/b*",
                "/images/alice/thumbnails/a.webp",
                "/images/alice/thumbnails/b.webp",
                "/images/alice/c/w320.webp",  # its main picture stays
            ],
        )
    ]


async def test_where_too_many_wildcards_are_in_progress_it_is_told_of_files() -> None:
    """Under the reference itself, as of releases without wildcards: a batch may change tasks."""
    (first, _), second = await told_of(paths_of("a"), room=False)
    assert (first, second) == ("reference-wildcards", ("reference", paths_of("a")))


async def test_it_is_told_of_files_of_many_images_at_once() -> None:
    paths = [path for image in "abcdef" for path in paths_of(image)]
    assert await told_of(paths) == [("reference", paths)]


async def test_cloudfront_is_told_of_a_path_once() -> None:
    server = FaultyServer("http://127.0.0.1:9")
    told = []

    async def watched(server: FaultyServer, request: bytes) -> bytes:
        told.append(request)
        answer: bytes = await faults.xml_answer("<Invalidation/>", status=201)(server, request)
        return answer

    async with server.running() as url, engines.cloudfront_client(url) as client:
        server.script = [watched]
        await CloudFrontCdn(client, "E123").invalidate(["/images/a.webp"] * 3, "reference")
    assert told[0].count(b"<Path>") == 1
    assert b"<Quantity>1</Quantity>" in told[0]
