"""A real Envoy loads the deployed configuration and carries decisions."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from pdp import CheckRequest, Client, ClientOptions, LimitSpend
from pdp.engine import Addresses, sample_questions
from pdp.errors import UnavailableError
from pdp.model import request_from_mapping

CONFIGURATION = Path(__file__).resolve().parents[2] / "deploy" / "envoy" / "envoy.yaml"
ENVOY = shutil.which("envoy", path=str(Path(sys.executable).parent)) or shutil.which("envoy")
START_SECONDS = 30.0

pytestmark = pytest.mark.skipif(ENVOY is None, reason="no envoy binary beside this Python or on PATH")


def free_port() -> int:
    """A port that was free a moment ago: Envoy cannot be asked for the one it chose."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def proxy(pdp_server: Addresses, tmp_path: Path) -> Iterator[str]:
    """Address of an Envoy with the deployed configuration, in front of a decision point."""
    document = yaml.safe_load(CONFIGURATION.read_text())
    host, port = pdp_server.decision.rsplit(":", 1)
    (cluster,) = document["static_resources"]["clusters"]
    endpoint = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    endpoint["address"]["socket_address"] = {"address": host, "port_value": int(port)}
    own = free_port()
    listener = document["static_resources"]["listeners"][0]
    listener["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": own}
    document["admin"]["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": 0}
    file = tmp_path / "envoy.yaml"
    file.write_text(yaml.safe_dump(document))
    log = (tmp_path / "envoy.log").open("wb")
    command = [str(ENVOY), "--config-path", str(file), "--concurrency", "1", "--use-dynamic-base-id"]
    process = subprocess.Popen([*command, "--log-level", "error"], stdout=log, stderr=log)
    try:
        yield f"127.0.0.1:{own}"
    finally:
        process.terminate()
        process.wait(timeout=20)
        log.close()


def ready(client: Client, request: CheckRequest) -> None:
    """Asks until Envoy has found its upstream healthy."""
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            client.check(request)
        except UnavailableError:
            if time.monotonic() > end:
                raise
        else:
            return


def test_decisions_pass_through_the_deployed_proxy(proxy: str) -> None:
    """Single, batched and streamed answers are those of the decision point itself."""
    samples = {
        question.value: request_from_mapping({**sample, "questions": [question.value]})
        for question, sample in sample_questions().items()
    }
    # Three rounds together stay below the sample limit's burst.
    samples["rate_limit"] = replace(samples["rate_limit"], limit=LimitSpend(1))
    wanted = {"access": True, "segmentation": True, "egress": False, "rate_limit": True}
    with Client(proxy, ClientOptions(timeout_seconds=5.0, backoff_seconds=0.2)) as client:
        ready(client, samples["access"])
        assert {name: client.check(one).allowed for name, one in samples.items()} == wanted
        batch = client.check_batch(list(samples.values()))
        assert [one.unwrap().allowed for one in batch] == list(wanted.values())
        streamed = {
            one.request_id: one.unwrap().allowed for one in client.stream(samples.values(), timeout=10.0)
        }
        assert [streamed[f"stream-{at}"] for at in range(4)] == list(wanted.values())
