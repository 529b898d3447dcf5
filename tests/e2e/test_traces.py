"""Traces of the real server."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from tests.api.photos import PHOTO
from tests.e2e.conftest import started
from tests.e2e.test_dev import token
from tests.otlp_receiver import attributes, receiving

pytestmark = pytest.mark.e2e


def test_a_request_is_traced_once_and_sent_before_the_end(state_dir: Path):
    with (
        receiving() as receiver,
        started(
            *("dev", "--port", "0", "--state-dir", str(state_dir)),
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url,
            OTEL_TRACES_SAMPLER_ARG="1",
            OTEL_BSP_SCHEDULE_DELAY="60000",
            FASTAPI_OTEL_AUTO_CONFIGURE="true",  # its own, which would send paths and queries
            IMAGE_SERVICE_OPS_PORT="0",
        ) as running,
    ):
        running.wait_for("Stop with Ctrl-C")
        url = running.wait_for(r"(http://\S+)/docs")[1]
        bearer = {"Authorization": f"Bearer {token(state_dir)}"}
        posted = httpx.post(f"{url}/images", headers=bearer, files={"file": PHOTO})
        assert posted.status_code == 201
        assert httpx.post(f"{url}/images", content=PHOTO).status_code == 401
        assert receiver.bodies == []
        assert running.stop() == 0
        lines = [json.loads(line) for line in running.output if line.startswith("{")]
    uploaded, refused = [s for s in receiver.spans if s.kind == Span.SPAN_KIND_SERVER]
    assert attributes(uploaded)["http.response.status_code"] == 201
    # The two seconds of reading and dropping what comes after the answer are not in it.
    assert refused.end_time_unix_nano - refused.start_time_unix_nano < 1_000_000_000
    assert {span.name for span in receiver.spans} >= {"parse", "decode", "S3/PutObject"}
    assert receiver.paths == {"/v1/traces"}
    request_id = posted.headers["x-request-id"]
    of_upload = [line for line in lines if line.get("request_id") == request_id]
    assert {line["event"] for line in of_upload} == {"audit", "request"}
    assert {line["trace_id"] for line in of_upload} == {uploaded.trace_id.hex()}
    assert not [line for line in lines if line["level"] in {"warning", "error"}]
