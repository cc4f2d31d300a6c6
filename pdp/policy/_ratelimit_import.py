"""Configuration of envoyproxy/ratelimit as limit lists of this product.

There a request's entries walk a tree: at each level an exact value is preferred to a wildcard (the first
that matches) and a wildcard to a bare key, and a step is never taken back. Here limits are a flat list of
which the most specific applies. Where the two would differ, because a node of the tree leads nowhere while
a less specific one beside it limits, an unlimited entry holds the request there.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import chain, count, islice
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
_MAX_LIMITS = 100_000
_UNLIMITED = RateLimit("", 0, unlimited=True, name="", replaces=())
_HOLDS = "limits nothing, and keeps a less specific limit from applying"

Match = tuple[str, str]
"""Key and value of an entry; an empty value matches any."""


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
    imported: list[ImportedDomain] = []
    notes: list[str] = []
    for parts in domains.values() if not faults else ():
        try:
            imported.append(_domain(parts, algorithm, {one.policy_id for one in imported}, notes))
        except _TooManyError:
            message = f"comes to more than {_MAX_LIMITS} limits: split the domain"
            faults.append(_fault(parts[0], "descriptors", message, "size"))
    if faults:
        raise PolicySetError(faults)
    entries = [_entry(one, [part.file for part in domains[one.domain]]) for one in imported]
    manifest = "version: 1\npolicies:\n" + "".join(entries)
    return RateLimitImport(tuple(imported), manifest, tuple(notes))


class _TooManyError(Exception):
    """A tree that comes to more limits than are written."""


@dataclass(slots=True)
class _Entry:
    """One limit of the flat list."""

    descriptor: tuple[Match, ...]
    limit: RateLimit
    node: Descriptor
    share_threshold: bool = False
    comments: list[str] = field(default_factory=list)
    name: str = ""


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
            message = f"repeats the descriptor `{_match((node.key, node.value))}` of {file}: remove one"
            yield _fault(domain, node.path, message, "duplicate_key")


def _fault(domain: Domain, path: str, message: str, code: str) -> Diagnostic:
    return Diagnostic(domain.file, domain.row, 1, f"ratelimit_{code}", f"`{path}`: {message}")


def _domain(parts: list[Domain], algorithm: Algorithm, taken: set[str], notes: list[str]) -> ImportedDomain:
    """One domain as a policy."""
    name = parts[0].name
    roots = [node for part in parts for node in part.descriptors]
    entries = list(islice(_flatten(roots, (), shared=False), _MAX_LIMITS + 1))
    if len(entries) > _MAX_LIMITS:
        raise _TooManyError
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


def _flatten(level: Sequence[Descriptor], above: tuple[Match, ...], *, shared: bool) -> Iterator[_Entry]:
    """The limits of a level of the tree and of all below it, more specific ones first."""
    nodes = sorted(level, key=_rank)
    general: dict[str, list[Descriptor]] = {}
    for node in nodes:
        if _rank(node):
            general.setdefault(node.key, []).append(node)
    limited = {id(node): list(_limited(node)) for same in general.values() for node in same}
    for node in nodes:
        here = (*above, (node.key, node.value))
        there = set()
        for entry in _subtree(node, here, shared=shared):
            there.add(entry.descriptor)
            yield entry
        for other in _less_specific(node, general):
            for below in limited[id(other)]:
                for held in _held(node, below):
                    if (descriptor := (*here, *held)) not in there:
                        there.add(descriptor)
                        yield _Entry(descriptor, _UNLIMITED, node, comments=[_HOLDS])


def _subtree(node: Descriptor, here: tuple[Match, ...], *, shared: bool) -> Iterator[_Entry]:
    """The limits of a node, which stands `here`, and of all below it."""
    shared = shared or node.share_threshold
    if node.limit is not None:
        yield _Entry(here, node.limit, node, share_threshold=shared)
    elif not node.children:
        yield _Entry(here, _UNLIMITED, node, comments=[_HOLDS])
    yield from _flatten(node.children, here, shared=shared)


def _limited(node: Descriptor) -> Iterator[tuple[Match, ...]]:
    """What is limited below a node, and by itself."""
    if node.limit is not None and not node.limit.unlimited:
        yield ()
    for child in node.children:
        for below in _limited(child):
            yield ((child.key, child.value), *below)


def _held(node: Descriptor, below: tuple[Match, ...]) -> Iterator[tuple[Match, ...]]:
    """Where requests that walk from `node` as `below` says end without a limit."""
    if not below:
        if node.limit is None:
            yield ()
        return
    (key, value), rest = below[0], below[1:]
    beside = sorted((child for child in node.children if child.key == key), key=_rank)
    meeting = [child for child in beside if _may_meet(child.value or "*", value or "*")]
    if value and "*" not in value:
        meeting = [child for child in meeting if _matches(child.value or "*", value)][:1]
        taken = bool(meeting)
    else:
        taken = any(child.value in ("", value) for child in beside)
    for child in meeting:
        for held in _held(child, rest):
            yield ((key, child.value), *held)
    if not taken:
        yield below


def _less_specific(node: Descriptor, general: dict[str, list[Descriptor]]) -> list[Descriptor]:
    """Nodes beside `node` that may match what it takes first; of wildcards the first one takes."""
    others = general.get(node.key, [])
    later = others[others.index(node) + 1 :] if _rank(node) else others
    return [other for other in later if _may_meet(node.value, other.value or "*")]


def _may_meet(one: str, other: str) -> bool:
    """Whether a value may match both patterns: never where their fixed ends differ."""
    heads = one.partition("*")[0], other.partition("*")[0]
    tails = one.rpartition("*")[2][::-1], other.rpartition("*")[2][::-1]
    return all(a.startswith(b) or b.startswith(a) for a, b in (heads, tails))


def _rank(node: Descriptor) -> int:
    """How specific a node is; the smaller, the more."""
    return 2 if not node.value else 1 if "*" in node.value else 0


def _matches(pattern: str, value: str) -> bool:
    """Whether a value matches a pattern, whose `*` stand for any text."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), value, re.DOTALL) is not None


def _name(entries: list[_Entry]) -> None:
    """Gives each entry a name of its own: the configured one, or that of its metric there."""
    configured = Counter(entry.limit.name for entry in entries if entry.limit.name)
    taken: set[str] = set()
    for entry in entries:
        own = entry.limit.name
        name = own if configured[own] == 1 else ".".join(_match(one) for one in entry.descriptor)
        entry.name = _free(name, taken)
        taken.add(entry.name)


def _written(entry: _Entry, algorithm: Algorithm, renamed: dict[str, list[str]]) -> str:
    """A limit in YAML, below its comments."""
    node, limit = entry.node, entry.limit
    document: dict[str, Any] = {
        "name": entry.name,
        "descriptor": [
            {"key": key, "value": value} if value else {"key": key} for key, value in entry.descriptor
        ],
    }
    if limit.unlimited:
        document["unlimited"] = True
    else:
        document |= {"algorithm": algorithm, "limit": limit.requests, "window": _WINDOWS[limit.unit]}
    if limit is node.limit:
        document |= {"shadow": True} if node.shadow else {}
        document |= {"detailed_metric": True} if node.detailed_metric else {}
    if entry.share_threshold:
        document["share_threshold"] = True
    replaces = [name for one in limit.replaces for name in renamed.get(one, ())]
    if replaces:
        document["replaces"] = replaces
    comments = list(entry.comments)
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
        if node.shadow and node.limit is None:
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


def _match(one: Match) -> str:
    return f"{one[0]}_{one[1]}" if one[1] else one[0]


def _base(file: str) -> str:
    return re.split(r"[\\/]", file)[-1]


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "domain"


def _free(name: str, taken: set[str]) -> str:
    """`name`, or it with a number where it is taken."""
    numbered = (f"{name}-{number}" for number in count(2))
    return next(one for one in chain((name,), numbered) if one not in taken)
