"""Configuration of envoyproxy/ratelimit as limit lists of this product.

Here as there a request's entries walk a tree, an exact value before a wildcard before a bare key, and no
step is taken back. A list holds the paths that end on a limit, so that a node without one becomes an
unlimited entry where no path goes on through it. Wildcards are tried in another order, the longest
beginning first instead of the first that is written, so that a file in which that matters is refused.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from itertools import chain, count
from typing import TYPE_CHECKING, Any, Literal

import yaml

from pdp.errors import Diagnostic, PolicySetError
from pdp.policy._ratelimit_config import ConfigReader, Descriptor, Domain, RateLimit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

Algorithm = Literal["fixed_window", "sliding_window", "gcra"]

# A month is 30 days and a year 365, as it is there.
_WINDOWS = {
    "second": "1s",
    "minute": "1m",
    "hour": "1h",
    "day": "1d",
    "week": "7d",
    "month": "30d",
    "year": "365d",
}
_MAX_NAME = 120
_UNLIMITED = RateLimit("", 0, unlimited=True, name="", replaces=())
_HOLDS = "limits nothing, and keeps less specific limits from applying"


@dataclass(frozen=True, slots=True)
class ImportedDomain:
    """A domain as a policy.

    Attributes:
        domain: The domain that requests name.
        policy_id: Id of the policy.
        source: File of its limit list, relative to the policy directory.
        text: The limit list, in YAML.
        limits: How many limits it holds.
    """

    domain: str
    policy_id: str
    source: str
    text: str
    limits: int


@dataclass(frozen=True, slots=True)
class RateLimitImport:
    """What an import came to.

    Attributes:
        domains: The domains.
        manifest: Their entries in a manifest, in YAML.
        notes: What has no counterpart and was left out, with file and path.
    """

    domains: tuple[ImportedDomain, ...]
    manifest: str
    notes: tuple[str, ...]


def import_ratelimit(
    files: Sequence[Path], *, algorithm: Algorithm = "fixed_window", merge_domains: bool = False
) -> RateLimitImport:
    """Turns files of envoyproxy/ratelimit into limit lists, one for each domain.

    Args:
        files: The files.
        algorithm: How hits are counted; there it is `fixed_window`, which admits twice the limit at an edge.
        merge_domains: Whether files of one domain are joined, as `MERGE_DOMAIN_CONFIG` does there.

    Raises:
        PolicySetError: When a file cannot be imported; the diagnostics name every fault.
    """
    faults: list[Diagnostic] = []
    domains: dict[str, list[Domain]] = {}
    for file in files:
        reader = ConfigReader(str(file))
        domain = reader.read(file)
        faults += reader.faults
        if domain is None or not domain.name:
            continue
        others = domains.setdefault(domain.name, [])
        faults += _repeated(domain, others, merge=merge_domains)
        others.append(domain)
    faults += [
        _fault(parts[0], "descriptors", "is empty: there is nothing to import", "empty")
        for parts in domains.values()
        if not any(part.descriptors for part in parts)
    ]
    for parts in domains.values():
        nodes = [node for part in parts for node in part.descriptors]
        faults += _disordered(nodes, parts[-1].file)
    if faults:
        raise PolicySetError(faults)
    imported: list[ImportedDomain] = []
    notes: list[str] = []
    for parts in domains.values():
        imported.append(_domain(parts, algorithm, {one.policy_id for one in imported}, notes))
    entries = [_entry(one, [part.file for part in domains[one.domain]]) for one in imported]
    manifest = "version: 1\npolicies:\n" + "".join(entries)
    return RateLimitImport(tuple(imported), manifest, tuple(notes))


@dataclass(slots=True)
class _Entry:
    """One limit of the list."""

    nodes: tuple[Descriptor, ...]
    limit: RateLimit
    comments: list[str] = field(default_factory=list)
    name: str = ""

    @property
    def node(self) -> Descriptor:
        """The node it ends on."""
        return self.nodes[-1]


def _repeated(domain: Domain, others: list[Domain], *, merge: bool) -> Iterator[Diagnostic]:
    """What a file repeats of earlier ones."""
    if others and not merge:
        message = (
            f"`{domain.name}` is also the domain of {others[0].file}: give it another name, or merge the "
            "files with `--merge-domains`"
        )
        yield _fault(domain, "domain", message, "duplicate_domain")
        return
    taken = {(node.key, node.value): other.file for other in others for node in other.descriptors}
    for node in domain.descriptors:
        if file := taken.get((node.key, node.value)):
            message = f"repeats the descriptor `{_match(node)}` of {file}: remove one"
            yield _fault(domain, node.path, message, "duplicate_key")


def _fault(domain: Domain, path: str, message: str, code: str) -> Diagnostic:
    return Diagnostic(domain.file, domain.row, 1, f"ratelimit_{code}", f"`{path}`: {message}")


def _domain(parts: list[Domain], algorithm: Algorithm, taken: set[str], notes: list[str]) -> ImportedDomain:
    """One domain as a policy."""
    name = parts[0].name
    entries = list(_flatten([node for part in parts for node in part.descriptors]))
    _name(entries)
    for part in parts:
        notes += _notes(part)
    renamed: dict[str, list[str]] = {}
    for entry in entries:
        if entry.limit.name:
            renamed.setdefault(entry.limit.name, []).append(entry.name)
    files = ", ".join(json.dumps(_base(part.file)) for part in parts)
    text = f"# Imported from {files} of envoyproxy/ratelimit.\n"
    text += yaml.safe_dump({"domain": name}, allow_unicode=True, width=100) + "limits:\n"
    for entry in entries:
        unknown = [one for one in entry.limit.replaces if one not in renamed]
        notes += [
            f"{parts[0].file}: `{entry.node.path}.rate_limit.replaces`: no limit is named `{one}`"
            for one in unknown
        ]
        text += _written(entry, algorithm, renamed)
    policy_id = _free(f"ratelimit.{_slug(name)}", taken)
    source = f"limits/{policy_id.removeprefix('ratelimit.')}.yaml"
    return ImportedDomain(name, policy_id, source, text, len(entries))


def _flatten(level: Sequence[Descriptor], above: tuple[Descriptor, ...] = ()) -> Iterator[_Entry]:
    """The limits of a level of the tree and of all below it."""
    for node in level:
        here = (*above, node)
        if node.limit is not None:
            yield _Entry(here, node.limit)
        elif not node.children:
            yield _Entry(here, _UNLIMITED, [_HOLDS])
        yield from _flatten(node.children, here)


def _disordered(level: Sequence[Descriptor], file: str) -> Iterator[Diagnostic]:
    """Wildcards that would be tried in another order than they are written, where a value may match both."""
    wild = [node for node in level if "*" in node.value]
    for at, later in enumerate(wild):
        for node in wild[:at]:
            if node.key == later.key and _order(later) < _order(node) and _may_meet(node.value, later.value):
                message = (
                    f"`{later.value}` would be tried before `{node.value}` ({node.path}), since its "
                    "beginning is longer: write it first, or remove it"
                )
                text = f"`{later.path}.value`: {message}"
                yield Diagnostic(file, later.row, 1, "ratelimit_wildcard_order", text)
    for node in level:
        yield from _disordered(node.children, file)


def _order(node: Descriptor) -> tuple[int, int]:
    """Where a wildcard stands among its like; the smaller, the earlier."""
    return (-len(node.value.partition("*")[0].encode()), -len(node.value.encode()))


def _may_meet(one: str, other: str) -> bool:
    """Whether a value may match both patterns: never where their fixed ends differ."""
    heads = one.partition("*")[0], other.partition("*")[0]
    tails = one.rpartition("*")[2][::-1], other.rpartition("*")[2][::-1]
    return all(a.startswith(b) or b.startswith(a) for a, b in (heads, tails))


def _name(entries: list[_Entry]) -> None:
    """Gives each entry a name of its own: the configured one, or that of its metric there, cut to fit."""
    configured = Counter(entry.limit.name for entry in entries if entry.limit.name)
    taken: set[str] = set()
    for entry in entries:
        own = entry.limit.name
        name = own if configured[own] == 1 else ".".join(map(_match, entry.nodes))
        entry.name = _free(_printable(name), taken)
        taken.add(entry.name)


def _written(entry: _Entry, algorithm: Algorithm, renamed: dict[str, list[str]]) -> str:
    """A limit in YAML, below its comments."""
    node, limit = entry.node, entry.limit
    document: dict[str, Any] = {"name": entry.name, "descriptor": list(map(_matcher, entry.nodes))}
    comments = list(entry.comments)
    if limit.unlimited:
        document["unlimited"] = True
    else:
        window = _WINDOWS[limit.unit]
        document |= {"algorithm": algorithm, "limit": max(limit.requests, 1), "window": window}
        document |= {"shadow": True} if node.shadow else {}
    if limit.unlimited is False and limit.requests == 0:
        document["cost"] = "2"
        comments.append("admits nothing: each request costs more than there is")
    document |= {"detailed_metric": True} if node.detailed_metric and limit is node.limit else {}
    replaces = [name for one in limit.replaces for name in renamed.get(one, ())]
    if replaces:
        document["replaces"] = replaces
    if node.metadata is not None and limit is node.limit:
        # JSON in ASCII stays on one line whatever it holds.
        comments.append(f"metadata: {json.dumps(node.metadata)}")
    text = yaml.safe_dump([document], sort_keys=False, allow_unicode=True, width=100)
    lines = [f"# {one}" for one in comments] + text.splitlines()
    return "".join(f"  {line}\n" for line in lines)


def _notes(domain: Domain) -> Iterator[str]:
    """What of a file has no counterpart."""
    waiting = list(domain.descriptors)
    while waiting:
        node = waiting.pop(0)
        waiting += node.children
        if node.value_to_metric:
            yield f"{domain.file}: `{node.path}.value_to_metric`: metrics name limits, not values; left out"
        if node.metadata is not None:
            yield f"{domain.file}: `{node.path}.metadata`: kept as a comment; answers do not carry it"
        if node.shadow and (node.limit is None or node.limit.unlimited):
            yield f"{domain.file}: `{node.path}.shadow_mode`: there is no limit beside it; left out"


def _entry(one: ImportedDomain, files: list[str]) -> str:
    """A policy's entry in a manifest."""
    names = ", ".join(map(_base, files))
    document = {
        "id": one.policy_id,
        "kind": "rate_limit",
        "engine": "limits",
        "source": one.source,
        "description": f"limits of the domain {one.domain}, imported from {names}",
    }
    text = yaml.safe_dump([document], sort_keys=False, allow_unicode=True, width=100)
    return "".join(f"  {line}\n" for line in text.splitlines())


def _matcher(node: Descriptor) -> dict[str, Any]:
    """An entry of a limit's descriptor."""
    value = {"value": node.value} if node.value else {}
    return {"key": node.key, **value, **({"share_threshold": True} if node.share_threshold else {})}


def _match(node: Descriptor) -> str:
    return f"{node.key}_{node.value}" if node.value else node.key


def _printable(name: str) -> str:
    """A name without control characters, short enough for a number behind it."""
    clean = "".join("?" if unicodedata.category(one) == "Cc" else one for one in name)
    return clean.encode("utf-8", "replace")[:_MAX_NAME].decode("utf-8", "ignore")


def _base(file: str) -> str:
    return re.split(r"[\\/]", file)[-1]


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "domain"


def _free(name: str, taken: set[str]) -> str:
    """`name`, or it with a number where it is taken."""
    numbered = (f"{name}-{number}" for number in count(2))
    return next(one for one in chain((name,), numbered) if one not in taken)
