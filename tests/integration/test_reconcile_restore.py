"""The restore recipe of docs/operations.md, as far as it can be tried here."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jmespath
from tests import engines


async def test_a_file_deleted_twice_comes_back(
    emulator: str, unique: str, repository_root: Path
) -> None:
    """A repeated deletion leaves a delete marker each time."""
    recipe = (repository_root / "docs/operations.md").read_text()
    (query,) = re.findall(r'--query "(DeleteMarkers.*)" --output text', recipe)
    # The query compares texts: within one second "+00:00" would sort before "Z".
    start = (datetime.now(UTC) - timedelta(seconds=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
    bucket = {"Bucket": unique.lower()}
    async with engines.s3_client(emulator) as s3:
        await s3.create_bucket(**bucket)
        await s3.put_bucket_versioning(**bucket, VersioningConfiguration={"Status": "Enabled"})
        await s3.put_object(**bucket, Key="images/a/b.webp", Body=b"picture")
        for _ in range(2):
            await s3.delete_object(**bucket, Key="images/a/b.webp")

        listed: Any = await s3.list_object_versions(**bucket, Prefix="images/")
        for marker in listed["DeleteMarkers"]:
            marker["LastModified"] = marker["LastModified"].isoformat()  # as the AWS CLI has it
        for key, version in jmespath.search(query.replace("$T", start), listed):
            await s3.delete_object(**bucket, Key=key, VersionId=version)

        answer = await s3.get_object(**bucket, Key="images/a/b.webp")
        assert await answer["Body"].read() == b"picture"
