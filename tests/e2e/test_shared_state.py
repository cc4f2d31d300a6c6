"""Decision points in processes of their own count together in one Valkey, and live through its outages."""

from __future__ import annotations

import threading
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from e2e_support import PATIENCE_SECONDS, Node, Valkey, eventually

from pdp import CheckRequest, Client, ClientOptions, Decision, LimitSpend, Question
from pdp.model import CountedBy, ReasonCode

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ANN = "ann@example.com"


def limit(**changes: Any) -> dict[str, Any]:
    """A limit of 50 hits an hour."""
    entry = {"name": "calls", "algorithm": "fixed_window", "limit": 50, "window": "1h"}
    return {**entry, "key": "limit.descriptors.caller", **changes}


def spend(client: Client, *, caller: str = ANN, hits: int = 1, **request: Any) -> Decision:
    """Spends under a caller's key."""
    return client.check(
        CheckRequest(questions=(Question.RATE_LIMIT,), limit=LimitSpend(hits, {"caller": caller}), **request)
    )


def connect(node: Node) -> Client:
    """A client that waits long enough for a store that does not answer."""
    return Client(node.listen, ClientOptions(timeout_seconds=PATIENCE_SECONDS))


@pytest.fixture
def pair(valkey: Valkey, start_node: Callable[..., Node]) -> Callable[..., tuple[Node, Node]]:
    """Starts two decision points on one Valkey."""

    def start(policies: Path) -> tuple[Node, Node]:
        environment = {"PDP_STATE__REDIS_URL": valkey.url}
        nodes = start_node(policies, **environment), start_node(policies, **environment)
        for node in nodes:
            eventually(node.available, "the shared store")
        return nodes

    return start


@pytest.mark.parametrize("algorithm", ["gcra", "fixed_window", "sliding_window"])
def test_a_limit_holds_over_all_nodes(
    pair: Callable[..., tuple[Node, Node]],
    policy_set: Callable[..., Path],
    algorithm: str,
) -> None:
    """Whatever the interleaving, as many are admitted as the limit says."""
    admitted: list[Decision] = []

    def ask(node: Node) -> None:
        with connect(node) as client:
            for _ in range(40):
                decision = spend(client)
                if decision.allowed:
                    admitted.append(decision)

    nodes = pair(policy_set([limit(algorithm=algorithm)]))
    threads = [threading.Thread(target=ask, args=(node,)) for node in nodes * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(admitted) == 50
    assert {status.counted_by for decision in admitted for status in decision.limits} == {CountedBy.SHARED}
    assert {status.overshoot for decision in admitted for status in decision.limits} == {0}


def test_a_leased_limit_stays_within_its_stated_bound(
    pair: Callable[..., tuple[Node, Node]], policy_set: Callable[..., Path]
) -> None:
    """At most the limit and a lease for each node is admitted; each answer says so."""
    nodes = pair(policy_set([limit(counting="leased", lease=5)]))
    admitted = 0
    overshoot = set()
    for node in nodes:
        with connect(node) as client:
            for _ in range(60):
                decision = spend(client)
                admitted += decision.allowed
                overshoot |= {status.overshoot for status in decision.limits}
    assert 50 - 2 * 5 <= admitted <= 50 + 2 * 5
    assert overshoot <= {5, 10}


def test_a_request_spends_once_on_all_nodes(
    pair: Callable[..., tuple[Node, Node]], policy_set: Callable[..., Path]
) -> None:
    """The same request id gets the same answer from another node and costs nothing more."""
    first, second = pair(policy_set([limit()]))
    request_id = str(uuid.uuid4())
    with connect(first) as one, connect(second) as other:
        assert spend(one, request_id=request_id).limits[0].remaining == 49
        assert spend(other, request_id=request_id).limits[0].remaining == 49
        assert spend(other).limits[0].remaining == 48


def test_a_changed_limit_keeps_what_was_counted(
    pair: Callable[..., tuple[Node, Node]], policy_set: Callable[..., Path]
) -> None:
    """A limit is lowered while it counts; nobody gets a fresh start."""
    first, second = pair(policy_set([limit()]))
    with connect(first) as one, connect(second) as other:
        revision = spend(one, hits=20).policy_revision
        policy_set([limit(limit=30)])
        eventually(lambda: spend(other, hits=1, caller="x").policy_revision != revision, "the new policies")
        assert spend(other).limits[0].remaining == 9


def test_preview_spends_nothing(
    pair: Callable[..., tuple[Node, Node]], policy_set: Callable[..., Path]
) -> None:
    """What would be, on the node that is asked and on the other."""
    first, second = pair(policy_set([limit()]))
    preview = CheckRequest(
        questions=(Question.RATE_LIMIT,), limit=LimitSpend(50, {"caller": ANN}, preview=True)
    )
    with connect(first) as one, connect(second) as other:
        assert one.check(preview).allowed
        assert other.check(preview).allowed
        assert spend(other).limits[0].remaining == 49
        assert not one.check(preview).allowed


def test_several_limits_are_never_half_spent(
    pair: Callable[..., tuple[Node, Node]], policy_set: Callable[..., Path]
) -> None:
    """A limit that refuses leaves the others as they were, on every node."""
    narrow = limit(name="narrow", limit=3, key='"all"')
    first, second = pair(policy_set([limit(), narrow]))
    with connect(first) as one, connect(second) as other:
        assert [spend(one).allowed, spend(other).allowed, spend(one).allowed] == [True] * 3
        refused = spend(other)
    assert not refused.allowed
    assert {status.name: status.remaining for status in refused.limits} == {"calls": 47, "narrow": 0}


def test_usage_is_reported_to_another_node(
    pair: Callable[..., tuple[Node, Node]], policy_set: Callable[..., Path], tmp_path: Path
) -> None:
    """A cost that is known afterwards corrects the estimate, once."""
    del tmp_path
    first, _ = pair(policy_set([limit()]))
    asked = LimitSpend(10, {"caller": ANN}, report_later=True)
    with connect(first) as one:
        decision = one.check(CheckRequest(questions=(Question.RATE_LIMIT,), limit=asked))
        assert decision.limits[0].remaining == 40
        assert one.report_usage(decision, hits=25)[0].remaining == 25
        assert one.report_usage(decision, hits=25)[0].remaining == 25
        assert spend(one).limits[0].remaining == 24


def test_a_concurrency_limit_is_given_back_or_expires(
    pair: Callable[..., tuple[Node, Node]], policy_set: Callable[..., Path]
) -> None:
    """Two at once over both nodes; one that is released makes room at once, one that is not, in time."""
    entry = {"name": "calls", "algorithm": "concurrency", "limit": 2, "hold": "1s"}
    first, second = pair(policy_set([{**entry, "key": "limit.descriptors.caller"}]))
    with connect(first) as one, connect(second) as other:
        held = spend(one)
        assert spend(other).allowed
        assert not spend(one).allowed
        one.report_usage(held)
        assert spend(other).allowed
        assert not spend(one).allowed
        eventually(lambda: spend(one).allowed, "holds that expire")


@pytest.mark.parametrize(
    ("on_outage", "code", "counted_by"),
    [
        ("deny", ReasonCode.LIMIT_STORE_UNAVAILABLE, None),
        ("local", ReasonCode.LIMIT_COUNTED_LOCALLY, CountedBy.LOCAL),
        ("allow", ReasonCode.FAIL_OPEN, None),
    ],
)
@pytest.mark.parametrize("how", ["crashed", "paused"])
def test_an_outage_is_answered_by_policy_and_seen(
    pair: Callable[..., tuple[Node, Node]],
    policy_set: Callable[..., Path],
    valkey: Valkey,
    how: str,
    on_outage: str,
    code: ReasonCode,
    counted_by: CountedBy | None,
) -> None:
    """The reason, the metric and readiness say it; the store's return needs no restart."""
    first, _ = pair(policy_set([limit(on_outage=on_outage)]))
    with connect(first) as client:
        assert spend(client).allowed
        if how == "crashed":
            valkey.stop()
            decision = spend(client)
        else:
            with valkey.paused():
                decision = spend(client)
                eventually(lambda: not first.available(), "the outage in the metrics")
        assert decision.allowed == (on_outage != "deny")
        assert code in {reason.code for verdict in decision.verdicts for reason in verdict.reasons}
        if counted_by is not None:
            assert {status.counted_by for status in decision.limits} == {counted_by}
        if how == "crashed":
            eventually(lambda: not first.available(), "the outage in the metrics")
            assert "unavailable" in first.page("/readyz")
            valkey.start()
        eventually(first.available, "recovery")
        eventually(lambda: spend(client).limits[0].counted_by == CountedBy.SHARED, "shared counting")


def test_nothing_in_the_store_is_personal_or_lasts(
    pair: Callable[..., tuple[Node, Node]], policy_set: Callable[..., Path], valkey: Valkey
) -> None:
    """No key or value holds what callers sent, each has the version prefix, and expires by itself."""
    concurrency = {"name": "held", "algorithm": "concurrency", "limit": 9, "hold": "60s"}
    key = "limit.descriptors.caller"
    first, second = pair(
        policy_set([limit(), limit(name="slow", algorithm="gcra"), {**concurrency, "key": key}])
    )
    with connect(first) as one, connect(second) as other:
        for client in (one, other):
            assert spend(client, tenant="tenant-of-ann", request_id=f"of-{ANN}").allowed
    lasting = {b"pdp:1:salt"}
    with valkey.client() as store:
        keys = set(store.scan_iter(count=1000))
        assert len(keys) > 3
        for name in keys:
            assert name.startswith(b"pdp:1:")
            assert name in lasting or store.pttl(name) > 0, name
            stored = name + store.dump(name)
            assert all(text.encode() not in stored for text in (ANN, "tenant-of-ann", "e2e.limits")), name
