"""`pdp limits inspect|reset|top`: what a running decision point counts."""

from __future__ import annotations

import time
from datetime import UTC
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pdp._proto import admin_pb2 as pb
from pdp.cli._admin import inspect_limit, reset_limit, top_talkers
from pdp.cli._exit import ExitCode
from pdp.cli._options import ADMIN, Admin, AsJson, Timeout
from pdp.cli._output import OUT, document
from pdp.errors import ConfigError
from pdp.model import LimitStatus

if TYPE_CHECKING:
    from datetime import timedelta

Policy = Annotated[str, typer.Option("--policy", help="Policy that owns the limit.")]
Limit = Annotated[str, typer.Option("--limit", help="Name of the limit in its policy.")]
Tenant = Annotated[str, typer.Option("--tenant", help="Tenant; empty is the default tenant.")]
Key = Annotated[
    list[str],
    typer.Option(
        "--key", help="What is counted under: the text of the limit's `key`; once for each part of a list."
    ),
]


def inspect(
    *,
    policy: Policy,
    limit: Limit,
    key: Key,
    tenant: Tenant = "",
    admin: Admin = ADMIN,
    timeout: Timeout = 5.0,
    as_json: AsJson = False,
) -> None:
    """Shows how a limit stands for a key; spends nothing.

    Exit codes: 0 it was read, 2 there is no such limit, or no answer.
    """
    answer = inspect_limit(admin, _counter(policy, limit, tenant, key), timeout)
    status = LimitStatus.from_proto(answer.status)
    if as_json:
        document(_status(status))
        return
    OUT.print(_named(policy, limit, tenant, key), style="bold")
    OUT.print(f"{status.remaining} of {status.limit} left, full again in {_seconds(status.reset_after)}")
    if not status.admitted:
        wait = "never" if status.retry_after is None else f"in {_seconds(status.retry_after)}"
        OUT.print(f"the next hit is refused; one is admitted {wait}", style="red")
    overshoot = f", at most {status.overshoot} above the limit in all nodes" if status.overshoot else ""
    OUT.print(f"counted by {status.counted_by.lower()}{overshoot}", style="dim")


def reset(
    *,
    policy: Policy,
    limit: Limit,
    key: Key,
    tenant: Tenant = "",
    yes: Annotated[bool, typer.Option("--yes", help="Reset without asking.")] = False,
    admin: Admin = ADMIN,
    timeout: Timeout = 5.0,
    as_json: AsJson = False,
) -> None:
    """Forgets what was spent of a limit under a key; asks first.

    Exit codes: 0 it is forgotten, 2 it is not.
    """
    counter = _counter(policy, limit, tenant, key)
    named = _named(policy, limit, tenant, key)
    if not yes and not _agreed(f"Forget what was spent of {named}?"):
        OUT.print("nothing was reset")
        raise typer.Exit(ExitCode.ERROR)
    existed = reset_limit(admin, counter, timeout).existed
    if as_json:
        document({"existed": existed})
    else:
        OUT.print(f"{named}: " + ("reset" if existed else "nothing was counted"))


def top(
    *,
    most: Annotated[int, typer.Option("--most", min=1, max=100, help="How many of each kind.")] = 10,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh until interrupted.")] = False,
    interval: Annotated[
        float, typer.Option("--interval", min=0.1, max=3600.0, help="Seconds between refreshes.")
    ] = 2.0,
    admin: Admin = ADMIN,
    timeout: Timeout = 5.0,
    as_json: AsJson = False,
) -> None:
    """Names who asks most of one decision point: tenants, functions, networks, limit keys.

    Numbers fade by half every 30 seconds. The true one lies between `at least` and `requests`.
    """
    if watch and as_json:
        raise ConfigError("watch", "shows a table; leave out `--json`, or ask again for each document")
    answer = top_talkers(admin, most, timeout)
    if as_json:
        document(_talkers(answer))
        return
    if not watch:
        OUT.print(_table(answer))
        return
    with Live(_table(answer), console=OUT, auto_refresh=False) as live:
        while True:
            time.sleep(interval)
            live.update(_table(top_talkers(admin, most, timeout)), refresh=True)


def _counter(policy: str, limit: str, tenant: str, key: list[str]) -> pb.LimitCounter:
    return pb.LimitCounter(policy_id=policy, limit=limit, tenant=tenant, key=key)


def _named(policy: str, limit: str, tenant: str, key: list[str]) -> str:
    """A counter in words."""
    of_tenant = f" of tenant `{tenant}`" if tenant else ""
    return f"{policy}/{limit}{of_tenant} under {', '.join(f'`{part}`' for part in key)}"


def _agreed(question: str) -> bool:
    """Whether a person says yes; a script has to say so beforehand."""
    try:
        return typer.confirm(question)
    except typer.Abort as fault:
        raise ConfigError("yes", "nobody answered; in a script, write `--yes`") from fault


def _seconds(span: timedelta) -> str:
    return f"{span.total_seconds():g} s"


def _status(status: LimitStatus) -> dict[str, Any]:
    """A limit's state as plain values."""
    return {
        "policy_id": status.policy_id,
        "name": status.name,
        "limit": status.limit,
        "remaining": status.remaining,
        "reset_after_seconds": status.reset_after.total_seconds(),
        "retry_after_seconds": None if status.retry_after is None else status.retry_after.total_seconds(),
        "admitted": status.admitted,
        "counted_by": str(status.counted_by),
        "overshoot": status.overshoot,
    }


def _talkers(answer: pb.GetTopTalkersResponse) -> dict[str, Any]:
    """Talkers as plain values."""
    return {
        "since": answer.since.ToDatetime(UTC).isoformat(),
        "talkers": [
            {
                "kind": one.kind,
                "name": one.name,
                "requests": one.requests,
                "error": one.error,
                "refused": one.refused,
            }
            for one in answer.talkers
        ],
    }


def _table(answer: pb.GetTopTalkersResponse) -> Table:
    """Talkers for a person, the busiest of each kind first."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("kind")
    table.add_column("name", overflow="fold")
    for column in ("requests", "at least", "refused"):
        table.add_column(column, justify="right", no_wrap=True)
    kind = ""
    for one in answer.talkers:
        numbers = (one.requests, one.requests - one.error, one.refused)
        # A name may hold brackets; it is data, not markup.
        shown = Text(one.kind if one.kind != kind else ""), Text(one.name)
        table.add_row(*shown, *(f"{number:,}" for number in numbers))
        kind = one.kind
    if not answer.talkers:
        table.add_row("", "nobody has asked lately", "", "", "")
    return table
