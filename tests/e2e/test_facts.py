"""Facts that decision points share through one Valkey, and the command that keeps them."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from e2e_support import PATIENCE_SECONDS, Node, Valkey, eventually

from pdp import CheckRequest, Client, ClientOptions, Decision, Device, Question, Resource, Subject
from pdp.control import AdminFacts, FactChange, FactKind, FactName, FactPut, RedisFacts
from pdp.errors import InvalidRequestError, RequestError
from pdp.model import ReasonCode

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LAPTOP = FactName(FactKind.DEVICE, "laptop-of-ann")
MANIFEST = """
version: 1
policies:
  - id: e2e.posture
    kind: access
    engine: rego
    source: posture.rego
    stored_facts: {device: {max_age: 15m}}
"""
POSTURE = """package e2e.posture

import rego.v1

allow if input.facts.device.value.compliant == true
"""


@pytest.fixture
def pair(valkey: Valkey, start_node: Callable[..., Node], tmp_path: Path) -> tuple[Node, Node]:
    """Two decision points on one Valkey, with a policy on stored posture."""
    policies = tmp_path / "policies"
    policies.mkdir()
    (policies / "manifest.yaml").write_text(MANIFEST)
    (policies / "posture.rego").write_text(POSTURE)
    secret = tmp_path / "secret"
    secret.write_text("0f" * 16)
    environment = {"PDP_STATE__REDIS_URL": valkey.url, "PDP_STATE__KEY_SECRET_FILE": str(secret)}
    nodes = start_node(policies, **environment), start_node(policies, **environment)
    for node in nodes:
        eventually(node.available, "the shared store")
    return nodes


def connect(node: Node) -> Client:
    """A client that waits long enough for a store that does not answer."""
    return Client(node.listen, ClientOptions(timeout_seconds=PATIENCE_SECONDS))


def decide(client: Client) -> Decision:
    """What a policy says of the laptop."""
    return client.check(
        CheckRequest(
            questions=(Question.ACCESS,),
            subject=Subject("ann"),
            action="read",
            resource=Resource("/notes/1"),
            device=Device(id=LAPTOP.id),
        )
    )


def code(client: Client) -> ReasonCode:
    """The first reason of a decision."""
    return decide(client).verdicts[0].reasons[0].code


def put(*, compliant: bool, version: int | None = None) -> FactPut:
    """The laptop's posture."""
    return FactPut(LAPTOP, {"compliant": compliant}, "mdm", version)


def command(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """A run of `pdp facts`."""
    line = [sys.executable, "-m", "pdp.cli", "facts", *words]
    return subprocess.run(line, input=given, capture_output=True, text=True, timeout=60, check=False)


def test_a_change_on_one_node_decides_on_the_other_within_a_second(pair: tuple[Node, Node]) -> None:
    """Posture that breaks is enforced everywhere, and the decision names the version it used."""
    with connect(pair[1]) as client, AdminFacts(pair[0].admin) as facts:
        assert code(client) is ReasonCode.FACT_MISSING
        delays = []
        for version in range(1, 41):
            facts.put([put(compliant=version % 2 == 1, version=version)])
            stored = time.monotonic()
            wanted = ReasonCode.POLICY_ALLOW if version % 2 == 1 else ReasonCode.NOT_ALLOWED
            eventually(lambda wanted=wanted: code(client) is wanted, f"version {version}")
            delays.append(time.monotonic() - stored)
        assert sorted(delays)[len(delays) // 2] <= 0.1, delays
        assert max(delays) <= 1, delays
        (used,) = [one for one in decide(client).facts if one.name == "facts.device"]
        assert (used.version, used.source) == (40, "mdm")


def test_an_older_version_is_refused_on_every_node(pair: tuple[Node, Node]) -> None:
    """And the stored one is named."""
    with AdminFacts(pair[0].admin) as one, AdminFacts(pair[1].admin) as other:
        assert one.put([put(compliant=True, version=5)]) == (5,)
        for facts in (one, other):
            with pytest.raises(InvalidRequestError, match="stored version 5") as caught:
                facts.put([put(compliant=False, version=5)])
            assert caught.value.field == "facts[0].version"


def test_a_store_that_is_away_denies_within_a_second_and_is_found_again(
    pair: tuple[Node, Node], valkey: Valkey
) -> None:
    """No decision rests on a fact that nobody vouches for."""
    with connect(pair[0]) as client, AdminFacts(pair[1].admin) as facts:
        facts.put([put(compliant=True)])
        eventually(lambda: code(client) is ReasonCode.POLICY_ALLOW, "the fact")
        with valkey.paused():
            since = time.monotonic()
            eventually(lambda: code(client) is ReasonCode.FACT_UNAVAILABLE, "a denial")
            assert time.monotonic() - since <= 1.5
        eventually(lambda: code(client) is ReasonCode.POLICY_ALLOW, "the store")
        valkey.stop()
        eventually(lambda: code(client) is ReasonCode.FACT_UNAVAILABLE, "a denial")
        valkey.start()
        eventually(lambda: code(client) is ReasonCode.FACT_MISSING, "the empty store")


def test_what_is_stored_straight_in_redis_is_what_nodes_see(
    pair: tuple[Node, Node], valkey: Valkey, tmp_path: Path
) -> None:
    """The command names keys as the nodes do, and the nodes' documents are its own."""
    straight = ("--redis-url", valkey.url, "--key-secret-file", str(tmp_path / "secret"))
    done = command("put", "device", LAPTOP.id, *straight, "--source", "mdm", given='{"compliant": true}')
    assert (done.returncode, done.stdout) == (0, f"device {LAPTOP.id}: version 1\n"), done.stderr
    with connect(pair[0]) as client:
        eventually(lambda: code(client) is ReasonCode.POLICY_ALLOW, "the fact")
        shown = command("get", "device", LAPTOP.id, "--admin", pair[1].admin, "--json")
        (document,) = json.loads(shown.stdout)
        assert (document["version"], document["value"], document["source"]) == (1, {"compliant": True}, "mdm")
        again = command(
            "put", "--admin", pair[1].admin, "--version", "9", given=json.dumps({**document, "version": 9})
        )
        assert again.returncode == 0, again.stderr
        shown = command("get", "device", LAPTOP.id, *straight, "--json")
        assert json.loads(shown.stdout)[0]["version"] == 9
        assert command("delete", "device", LAPTOP.id, *straight).stdout == "1 deleted\n"
        eventually(lambda: code(client) is ReasonCode.FACT_MISSING, "the deletion")


def test_the_command_says_what_is_wrong_and_exits_so(pair: tuple[Node, Node]) -> None:
    """One line that names the fault; nothing is stored."""
    admin = ("--admin", pair[0].admin)
    assert command("get", "device", "none", *admin).returncode == 1
    for words, given, told in [
        (("get", "laptop", "x", *admin), "", "kind: `laptop` is no kind"),
        (("put", "device", "x", *admin), "[1]", "value: must be a mapping"),
        (("put", "device", "x", *admin, "--ttl", "1 hour"), "{}", "ttl: `1 hour` is no duration"),
        (("put", "device", *admin), "{}", "give both KIND and ID"),
        (("put", *admin), '{"kind": "device", "id": "x", "value": {}, "colour": 1}', "colour: unknown key"),
        (("put", "device", "y" * 257, *admin), "{}", "facts[0].name.id"),
        (("put", "device", "x", *admin, "--version", "-1"), "{}", "facts[0].version"),
        (("get", "device", "x", "--admin", "127.0.0.1:1"), "", "refused"),
        (("get", "device", "x", "--redis-url", "redis://u:opensesame@127.0.0.1:1"), "", "does not answer"),
    ]:
        done = command(*words, given=given)
        assert (done.returncode, done.stdout) == (2, ""), done
        assert told in done.stderr, done
        assert "opensesame" not in done.stderr
        assert done.stderr.count("\n") == 1, done
    assert command("get", "device", "x", *admin, "--key-secret-file", "k").returncode == 64
    assert command("get", "device", "x", *admin).returncode == 1


@pytest.mark.parametrize("straight", [False, True])
def test_watchers_hear_of_each_change_and_of_what_they_lost(
    pair: tuple[Node, Node], valkey: Valkey, *, straight: bool
) -> None:
    """Through a decision point or past all of them."""
    heard: list[FactChange] = []
    ended: list[RequestError] = []
    watching: Any = RedisFacts.from_url(valkey.url) if straight else AdminFacts(pair[1].admin)

    def watch() -> None:
        try:
            for change in watching.watch():
                heard.append(change)  # noqa: PERF402 - each as it comes
        except RequestError as fault:
            ended.append(fault)

    thread = threading.Thread(target=watch)
    thread.start()
    with AdminFacts(pair[0].admin) as facts:
        # Until the watcher listens, changes pass it by.
        eventually(lambda: bool(facts.put([put(compliant=True)])) and bool(heard), "the first change")
        seen = len(heard)
        facts.put([put(compliant=False)])
        facts.delete([LAPTOP])
        eventually(lambda: len(heard) >= seen + 2 and heard[-1].fact is None, "the deletion")
    versions = [change.version for change in heard]
    assert versions == sorted(versions)
    assert all(change.name == LAPTOP for change in heard)
    valkey.stop()
    eventually(lambda: bool(ended), "word of the loss")
    thread.join(PATIENCE_SECONDS)
    watching.close()
