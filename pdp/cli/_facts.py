"""`pdp facts`."""

from __future__ import annotations

import json
import re
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from pdp.cli._exit import ExitCode
from pdp.cli._options import ADMIN, Admin, AsJson, Timeout
from pdp.cli._output import OUT, document
from pdp.errors import ConfigError, DocumentError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pdp.control import Fact, FactChange, FactName, Facts

app = typer.Typer(
    help="Keeps stored facts: documents about subjects, devices, functions and destinations.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Kind = Annotated[str, typer.Argument(help="subject, device, function or destination.")]
Ids = Annotated[list[str], typer.Argument(help="Ids of the documents.")]
Tenant = Annotated[
    str, typer.Option("--tenant", show_default=False, help="Tenant [default: the default one].")
]
RedisUrl = Annotated[
    str,
    typer.Option(
        "--redis-url",
        envvar="PDP_FACTS_REDIS_URL",
        show_default=False,
        help="Go straight to this Redis, past every decision point.",
    ),
]
KeySecret = Annotated[
    Path | None,
    typer.Option(
        "--key-secret-file",
        show_default=False,
        help="With --redis-url: `state.key_secret_file` of the nodes.",
    ),
]

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


@app.command("get")
def get(
    kind: Kind,
    ids: Ids,
    *,
    tenant: Tenant = "",
    admin: Admin = ADMIN,
    redis_url: RedisUrl = "",
    key_secret_file: KeySecret = None,
    timeout: Timeout = 5.0,
    as_json: AsJson = False,
) -> None:
    """Shows documents as they are in the store.

    Exit codes: 0 all exist, 1 some do not, 2 no answer.
    """
    names = [_name(kind, one, tenant) for one in ids]
    with _facts(admin, redis_url, key_secret_file, timeout) as facts:
        found = facts.get(names)
    if as_json:
        document([one.to_mapping() for one in found])
    else:
        for one in found:
            OUT.print(_line(one))
    raise typer.Exit(ExitCode.OK if len(found) == len(names) else ExitCode.FAULTY)


@app.command("put")
def put(
    kind: Annotated[str, typer.Argument(show_default=False, help="With ID: the input is the value.")] = "",
    id: Annotated[str, typer.Argument(metavar="ID", show_default=False)] = "",  # noqa: A002
    *,
    file: Annotated[
        str,
        typer.Option(
            "--input", help="JSON or YAML: the value, a document, or a list; `-` is standard input."
        ),
    ] = "-",
    ttl: Annotated[
        str,
        typer.Option("--ttl", show_default=False, help="How long it is kept, such as 30s, 15m, 12h or 7d."),
    ] = "",
    version: Annotated[
        int | None,
        typer.Option("--version", show_default=False, help="Version [default: one above the stored]."),
    ] = None,
    source: Annotated[str, typer.Option("--source", help="Who says so.")] = "pdp facts",
    tenant: Tenant = "",
    admin: Admin = ADMIN,
    redis_url: RedisUrl = "",
    key_secret_file: KeySecret = None,
    timeout: Timeout = 5.0,
    as_json: AsJson = False,
) -> None:
    """Stores documents: all, or where one is refused, none.

    Exit codes: 0 stored, 2 refused or no answer.
    """
    from pdp.control import puts_from_document  # noqa: PLC0415 - other commands need no Redis

    if bool(kind) != bool(id):
        raise DocumentError("", "give both KIND and ID, or neither and documents that name themselves")
    content = _read(file)
    if kind:
        content = {"tenant": tenant, "kind": kind, "id": id, "value": content}
    if version is not None:
        if not isinstance(content, dict):
            raise DocumentError("", "`--version` goes with one document")
        content = {**content, "version": version}
    puts = puts_from_document(content, source=source)
    with _facts(admin, redis_url, key_secret_file, timeout) as facts:
        versions = facts.put(puts, _duration(ttl))
    if as_json:
        document({"versions": list(versions)})
    else:
        for one, stored in zip(puts, versions, strict=True):
            OUT.print(f"{one.name.kind} {one.name.id}: version {stored}")


@app.command("delete")
def delete(
    kind: Kind,
    ids: Ids,
    *,
    tenant: Tenant = "",
    admin: Admin = ADMIN,
    redis_url: RedisUrl = "",
    key_secret_file: KeySecret = None,
    timeout: Timeout = 5.0,
) -> None:
    """Deletes documents; what does not exist is no fault.

    Exit codes: 0 deleted, 2 refused or no answer.
    """
    names = [_name(kind, one, tenant) for one in ids]
    with _facts(admin, redis_url, key_secret_file, timeout) as facts:
        deleted = facts.delete(names)
    OUT.print(f"{deleted} deleted")


@app.command("watch")
def watch(
    *,
    admin: Admin = ADMIN,
    redis_url: RedisUrl = "",
    key_secret_file: KeySecret = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document a line.")] = False,
) -> None:
    """Shows each change until it is interrupted.

    Exit codes: 2 changes were lost, or no answer; 130 interrupted.
    """
    with _facts(admin, redis_url, key_secret_file, 5.0) as facts:
        for change in facts.watch():
            if as_json:
                sys.stdout.write(json.dumps(change.to_mapping(), ensure_ascii=False) + "\n")
                sys.stdout.flush()
            else:
                OUT.print(_change(change))


@contextmanager
def _facts(admin: str, redis_url: str, key_secret_file: Path | None, timeout: float) -> Iterator[Facts]:
    """Where facts are kept."""
    from pdp.control import AdminFacts, RedisFacts  # noqa: PLC0415 - other commands need no Redis

    if key_secret_file is not None and not redis_url:
        raise ConfigError("key-secret-file", "goes with `--redis-url`: a decision point knows its own")
    facts: Facts
    if redis_url:
        from pdp import _core  # noqa: PLC0415 - the admin service needs no core

        secret = None if key_secret_file is None else _core.read_key_secret(str(key_secret_file))
        facts = RedisFacts.from_url(redis_url, key_secret=secret, timeout_seconds=timeout)
    else:
        facts = AdminFacts(admin, timeout_seconds=timeout)
    try:
        yield facts
    finally:
        facts.close()


def _name(kind: str, id: str, tenant: str) -> FactName:  # noqa: A002 - the contract's word
    from pdp.control import FactKind, FactName  # noqa: PLC0415 - other commands need no Redis

    if kind not in set(FactKind):
        raise DocumentError("kind", f"`{kind}` is no kind; write {', '.join(FactKind)}")
    return FactName(FactKind(kind), id, tenant)


def _read(file: str) -> Any:
    """A document."""
    where = "standard input" if file == "-" else f"`{file}`"
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        return yaml.safe_load(text)
    except OSError as fault:
        raise DocumentError("", f"cannot read {where}: {fault.strerror}; name a JSON or YAML file") from fault
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as fault:
        raise DocumentError(
            "", f"{where} is neither JSON nor YAML: {' '.join(str(fault).split())}"
        ) from fault


def _duration(text: str) -> timedelta | None:
    """A duration such as `15m`."""
    if not text:
        return None
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    if match is None:
        raise DocumentError("ttl", f"`{text}` is no duration: write a number and s, m, h or d, as in `15m`")
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def _line(fact: Fact) -> str:
    """A document in one line."""
    age = (datetime.now(UTC) - fact.observed_at).total_seconds()
    value = json.dumps(dict(fact.value), ensure_ascii=False)
    name = f"{fact.name.kind} {fact.name.id}"
    return f"{name}: version {fact.version}, {age:.0f} s old, from {fact.source}: {value}"


def _change(change: FactChange) -> str:
    """A change in one line."""
    if change.fact is None:
        return f"{change.name.kind} {change.name.id}: version {change.version} deleted"
    return _line(change.fact)
