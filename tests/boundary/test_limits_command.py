"""`pdp limits` against a real decision point."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from pdp import Client
from pdp.cli import ExitCode, app
from pdp.engine import Addresses
from pdp.errors import RequestError
from pdp.model import CheckRequest, Function, LimitSpend, Question, Subject, Transport

COUNTER = ("--policy", "boundary.limits", "--limit", "per-subject", "--key")


def limits(server: Addresses, *arguments: str, code: ExitCode = ExitCode.OK) -> str:
    """What `pdp limits ...` prints."""
    command = ["limits", *arguments, "--admin", str(server.admin)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == code, done.output
    return done.stdout


def spend(subject: str) -> CheckRequest:
    """One hit of the subject's limit."""
    return CheckRequest(
        questions=(Question.RATE_LIMIT,),
        tenant="acme",
        subject=Subject(subject),
        function=Function("library"),
        transport=Transport(source_ip="2001:db8::7"),
        limit=LimitSpend(1),
    )


def test_a_limit_is_inspected_reset_and_inspected_again(pdp_server: Addresses, pdp_client: Client) -> None:
    """What was spent is seen, forgotten, and can be spent again."""
    of_ada = (*COUNTER, "ada", "--tenant", "acme")
    assert json.loads(limits(pdp_server, "inspect", *of_ada, "--json"))["remaining"] == 2
    effects = [pdp_client.check(spend("ada")).allowed for _ in range(3)]
    assert effects == [True, True, False]
    shown = limits(pdp_server, "inspect", *of_ada)
    assert "0 of 2 left" in shown
    assert "the next hit is refused" in shown
    assert json.loads(limits(pdp_server, "inspect", *COUNTER, "ada", "--json"))["remaining"] == 2
    assert json.loads(limits(pdp_server, "reset", *of_ada, "--yes", "--json")) == {"existed": True}
    assert json.loads(limits(pdp_server, "reset", *of_ada, "--yes", "--json")) == {"existed": False}
    assert pdp_client.check(spend("ada")).allowed


def test_top_names_who_asks_and_who_is_refused(pdp_server: Addresses, pdp_client: Client) -> None:
    """Each kind, the busiest first."""
    for subject in ("ada", "ada", "ada", "bob"):
        pdp_client.check(spend(subject))
    found: dict[str, list[Any]] = {}
    for one in json.loads(limits(pdp_server, "top", "--json"))["talkers"]:
        found.setdefault(one["kind"], []).append((one["name"], one["requests"], one["refused"]))
    assert found == {
        "tenant": [("acme", 4, 1)],
        "function": [("library", 4, 1)],
        "network": [("2001:db8::/64", 4, 1)],
        "limit_key": [
            ("boundary.limits/per-subject ada", 3, 1),
            ("boundary.limits/per-subject bob", 1, 0),
        ],
    }
    assert "boundary.limits/per-subject ada" in limits(pdp_server, "top")


@pytest.mark.parametrize(
    ("arguments", "field", "words"),
    [
        (
            ("--policy", "boundary.limit", "--limit", "per-subject", "--key", "a"),
            "policy_id",
            "`boundary.limits`",
        ),
        (("--policy", "boundary.limits", "--limit", "per-tenant", "--key", "a"), "limit", "`per-subject`"),
        ((*COUNTER, "k" * 65_536), "key", "4096"),
    ],
)
def test_what_does_not_exist_is_named_with_what_does(
    pdp_server: Addresses, arguments: tuple[str, ...], field: str, words: str
) -> None:
    """The field at fault, and what to write instead."""
    for command in (("inspect",), ("reset", "--yes")):
        done = CliRunner().invoke(app, ["limits", *command, *arguments, "--admin", str(pdp_server.admin)])
        assert isinstance(done.exception, RequestError)
        assert done.exception.field == f"counter.{field}"
        assert words in done.exception.message


def test_the_public_listener_operates_nothing(pdp_server: Addresses) -> None:
    """Whoever may ask for decisions cannot reset a limit."""
    command = ["limits", "reset", *COUNTER, "ada", "--yes", "--admin", pdp_server.decision]
    done = CliRunner().invoke(app, command)
    assert isinstance(done.exception, RequestError)
    assert "name the admin listener" in done.exception.message
