"""The engine in this process: decisions, errors, threads, reload."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pdp import Engine, _core
from pdp._proto import decision_pb2 as pb
from pdp.config import Config
from pdp.errors import (
    AccessDenied,
    ConfigError,
    ErrorReason,
    InvalidRequestError,
    PolicySetError,
    PolicyUnknownError,
    RequestError,
    RevisionNotActiveError,
)
from pdp.model import CheckRequest, Decision, LimitSpend, Question, ReasonCode, Subject
from pdp.testing import assert_allowed, assert_denied


def test_decision_is_explained(pdp_engine: Engine, ada: CheckRequest) -> None:
    """Effect, policy, revision and id are always there."""
    decision = pdp_engine.check(ada)
    assert_allowed(decision, by="boundary.access")
    assert decision.policy_revision == pdp_engine.revision
    assert len(decision.decision_id) == 36
    assert [one.name for one in decision.facts] == ["device", "location", "behaviour"]


def test_policy_s_own_code_reaches_the_caller(pdp_engine: Engine, ada: CheckRequest) -> None:
    """A program can switch on the policy's code."""
    banned = dataclasses.replace(ada, subject=Subject("ada", groups=("banned",)))
    assert_denied(pdp_engine.check(banned), by="boundary.access", code="banned")


def test_authorize_raises_on_deny(pdp_engine: Engine, ada: CheckRequest) -> None:
    """A caller that forgets to look is stopped."""
    with pytest.raises(AccessDenied):
        pdp_engine.authorize(dataclasses.replace(ada, subject=Subject("eve")))


def test_question_without_a_policy_is_denied(pdp_engine: Engine, ada: CheckRequest) -> None:
    """Silence is no permission."""
    both = dataclasses.replace(ada, questions=(Question.ACCESS, Question.SEGMENTATION))
    with pytest.raises(InvalidRequestError, match="destination"):
        pdp_engine.check(both)


def test_counter_runs_out_and_the_same_id_spends_once(pdp_engine: Engine, ada: CheckRequest) -> None:
    """A repeated request is no second request."""
    spend = dataclasses.replace(ada, questions=(Question.RATE_LIMIT,), limit=LimitSpend(1))
    named = dataclasses.replace(spend, request_id="once")
    assert [pdp_engine.check(named).allowed for _ in range(5)] == [True] * 5
    assert pdp_engine.check(spend).allowed
    spent = pdp_engine.check(spend)
    assert_denied(spent, code=ReasonCode.RATE_LIMITED)
    assert spent.limits[0].retry_after is not None


@pytest.mark.parametrize(
    ("change", "kind", "field"),
    [
        ({"questions": ()}, InvalidRequestError, "questions"),
        ({"subject": None}, InvalidRequestError, "subject"),
        ({"subject": Subject("")}, InvalidRequestError, "subject.id"),
        ({"action": ""}, InvalidRequestError, "action"),
        ({"context": {"n": float("nan")}}, InvalidRequestError, "context.n"),
        ({"context": {"n": float("inf")}}, InvalidRequestError, "context.n"),
        ({"limit": LimitSpend(0)}, InvalidRequestError, "limit.hits"),
        ({"required_policy_ids": ("nope",)}, PolicyUnknownError, "required_policy_ids[0]"),
        ({"policy_revision": "0" * 16}, RevisionNotActiveError, "policy_revision"),
    ],
)
def test_bad_request_names_its_field(
    pdp_engine: Engine, ada: CheckRequest, change: dict[str, Any], kind: type[RequestError], field: str
) -> None:
    """The path leads to the value; the engine lives on."""
    with pytest.raises(kind) as caught:
        pdp_engine.check(dataclasses.replace(ada, **change))
    assert caught.value.field == field
    assert pdp_engine.check(ada).allowed


def test_bytes_that_are_no_message_are_refused(policies: Path) -> None:
    """Malformed protobuf is an invalid request, not a crash."""
    core = _core.Engine(Config().engine_document(policies))
    for junk in (b"\xff" * 10, b"\x0a\xff\xff\xff\xff\x0f", b"\x22\x05ab"):
        with pytest.raises(InvalidRequestError):
            core.check(junk)


@given(st.binary(max_size=200))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_bytes_get_an_answer_or_a_request_error(shared_core: Any, junk: bytes) -> None:
    """Nothing else comes out of the boundary."""
    try:
        answer = pb.CheckResponse.FromString(shared_core.check(junk))
    except RequestError as fault:
        reason = fault.reason
    else:
        reason = ErrorReason.UNSPECIFIED if answer.HasField("decision") else ErrorReason.INTERNAL
    assert reason is not ErrorReason.INTERNAL


@pytest.fixture
def shared_core(policies: Path) -> Any:
    """The boundary by itself."""
    return _core.Engine(Config().engine_document(policies))


def test_estimate_is_reported(pdp_engine: Engine, ada: CheckRequest) -> None:
    """The engine takes the token that it gave, and no other."""
    spend = dataclasses.replace(ada, questions=(Question.RATE_LIMIT,), limit=LimitSpend(report_later=True))
    decision = pdp_engine.check(spend)
    (status,) = pdp_engine.report_usage(decision, hits=2)
    assert status.remaining == 0
    with pytest.raises(InvalidRequestError) as caught:
        pdp_engine.report_usage(Decision(effect=decision.effect, usage_token=b"forged"))
    assert caught.value.field == "usage_token"


def test_state_that_cannot_be_opened_is_a_config_error(policies: Path) -> None:
    """The setting is named, and no secret told."""
    for state, key in (
        ({"redis_url": "http://ada:hush@h"}, "state.redis_url"),
        ({"password": "hush"}, "state.password"),
        ({"key_secret_file": policies / "manifest.yaml"}, "state.key_secret_file"),
    ):
        with pytest.raises(ConfigError) as caught:
            Engine(policies, config=Config(state=state))  # type: ignore[arg-type]
        assert caught.value.key == key
        assert "hush" not in str(caught.value)


def test_batch_keeps_its_order_and_its_faults_apart(pdp_engine: Engine, ada: CheckRequest) -> None:
    """One bad item never spoils the rest."""
    eve = dataclasses.replace(ada, subject=Subject("eve"))
    bad = dataclasses.replace(ada, subject=None)
    results = pdp_engine.check_batch([ada, bad, eve])
    assert results[0].unwrap().allowed
    assert results[1].failure is not None
    assert results[1].failure.field == "items[1].subject"
    assert not results[2].unwrap().allowed


def test_batch_refuses_the_second_of_two_ids(pdp_engine: Engine, ada: CheckRequest) -> None:
    """Answers could not be told apart."""
    twin = dataclasses.replace(ada, request_id="twin")
    first, second = pdp_engine.check_batch([twin, twin])
    assert first.unwrap().allowed
    assert second.failure is not None
    assert second.failure.reason is ErrorReason.DUPLICATE


def test_threads_share_an_engine(pdp_engine: Engine, ada: CheckRequest) -> None:
    """Each thread gets its own requests' answers."""
    eve = dataclasses.replace(ada, subject=Subject("eve"))
    with ThreadPoolExecutor(4) as pool:
        effects = list(pool.map(lambda n: pdp_engine.check(ada if n % 2 else eve).allowed, range(400)))
    assert effects == [bool(n % 2) for n in range(400)]


def test_interpreter_is_free_while_the_core_works(
    policies: Path, ada: CheckRequest, edit: Callable[[str, str], None]
) -> None:
    """Another thread runs while a policy uses up its time."""
    loop = "x := [a | some a in numbers.range(1, 100000)]; some b in x; some c in x; b + c < 0"
    edit('allow if input.subject.id == "ada"', f"allow if {{ {loop} }}")
    engine = Engine(policies, config=Config(evaluation={"time_ms": 300}))  # type: ignore[arg-type]
    started, ticks = threading.Event(), 0

    def ask() -> Any:
        started.set()
        return engine.check(ada)

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ask)
        started.wait()
        while not answer.done():
            ticks += 1
    assert_denied(answer.result(), by="boundary.access")
    assert ticks > 1000


def test_reload_swaps_the_set(
    pdp_engine: Engine, ada: CheckRequest, edit: Callable[[str, str], None]
) -> None:
    """The next request is decided by the new set, and says so."""
    before = pdp_engine.revision
    edit('"ada"', '"eve"')
    after = pdp_engine.reload()
    assert after != before
    decision = pdp_engine.check(ada)
    assert not decision.allowed
    assert decision.policy_revision == after == pdp_engine.revision


def test_faulty_set_leaves_the_old_one(
    pdp_engine: Engine, ada: CheckRequest, edit: Callable[[str, str], None]
) -> None:
    """The fault has file, row and column; decisions go on."""
    before = pdp_engine.revision
    edit("allow if input", "allow if inputt")
    with pytest.raises(PolicySetError) as caught:
        pdp_engine.reload()
    (diagnostic, *_) = caught.value.diagnostics
    assert (diagnostic.file, diagnostic.row) == ("access.rego", 3)
    assert pdp_engine.revision == before
    assert pdp_engine.check(ada).allowed


def test_policies_are_listed(pdp_engine: Engine) -> None:
    """Id, kind, engine, tier and mode of each."""
    assert [(one.id, one.kind, one.engine, one.tier, one.mode) for one in pdp_engine.policies()] == [
        ("boundary.access", "access", "rego", "team", "enforce"),
        ("boundary.limits", "rate_limit", "limits", "team", "enforce"),
    ]


def test_absent_directory_is_a_policy_set_error(tmp_path: Path) -> None:
    """The manifest is named."""
    with pytest.raises(PolicySetError, match=r"manifest\.yaml"):
        Engine(tmp_path / "nowhere")


def test_core_refuses_a_setting_it_does_not_know() -> None:
    """The document between the languages is closed too."""
    with pytest.raises(ConfigError, match="polices"):
        _core.Engine('{"polices": "x"}')


def test_core_s_classes_are_final_and_frozen(shared_core: Any) -> None:
    """Nobody changes what threads share."""
    with pytest.raises(AttributeError):
        shared_core.revision = "x"
    with pytest.raises(TypeError):
        type("Mine", (_core.Engine,), {})
