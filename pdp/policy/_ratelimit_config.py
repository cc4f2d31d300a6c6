"""Configuration of envoyproxy/ratelimit: one file's YAML as a tree of descriptors, or every fault in it.

The format is that of the project's README and `src/config/config_impl.go`. What it ignores there in silence,
such as a key in the wrong place, is a fault here: an import must not lose what somebody meant.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from pdp.policy._yaml_reader import MAX_DEPTH, YamlReader, absent, constructed, mark, shown

if TYPE_CHECKING:
    from pathlib import Path

UNITS = ("second", "minute", "hour", "day", "week", "month", "year")

MAX_FILE_BYTES = 4 << 20
MAX_LEVELS = 16
MAX_DESCRIPTORS = 100_000
MAX_METADATA = 1_000
MAX_REQUESTS = (1 << 32) - 1

_DOMAIN = ("domain", "descriptors")
_DESCRIPTOR = (
    "key",
    "value",
    "rate_limit",
    "descriptors",
    "shadow_mode",
    "quota_mode",
    "detailed_metric",
    "value_to_metric",
    "share_threshold",
    "metadata",
)
_RATE_LIMIT = ("unit", "requests_per_unit", "unlimited", "name", "replaces")
_REPLACES = ("name",)
_PLACES = {
    "at the top": _DOMAIN,
    "in a descriptor": _DESCRIPTOR,
    "in `rate_limit`": _RATE_LIMIT,
}


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What a descriptor admits.

    Attributes:
        unit: One of `UNITS`; empty where unlimited.
        requests: Requests within the unit.
        unlimited: Whether everything is admitted.
        name: Name that others may replace it by; empty for none.
        replaces: Names of limits that do not count where this one does.
    """

    unit: str
    requests: int
    unlimited: bool
    name: str
    replaces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Descriptor:
    """One node of the tree.

    Attributes:
        key: Key of the entry it matches.
        value: Value it matches, perhaps with `*`; empty for any, each counted by itself.
        limit: What it admits; None for a node that limits nothing itself.
        children: Nodes that match the next entry.
        shadow: Whether the limit is counted and never refuses.
        detailed_metric: Whether the limit is measured for each value.
        value_to_metric: Whether its value is part of the metric's name.
        share_threshold: Whether all values that match the wildcard count together.
        metadata: What answers carry along; None for nothing.
        path: Where it stands, such as `descriptors[0].descriptors[1]`.
        row: Row it begins on.
    """

    key: str
    value: str
    limit: RateLimit | None
    children: tuple[Descriptor, ...]
    shadow: bool
    detailed_metric: bool
    value_to_metric: bool
    share_threshold: bool
    metadata: Any
    path: str
    row: int


@dataclass(frozen=True, slots=True)
class Domain:
    """One file.

    Attributes:
        name: Domain that requests name.
        file: File it was read from.
        row: Row of the domain's name.
        descriptors: First level of the tree.
    """

    name: str
    file: str
    row: int
    descriptors: tuple[Descriptor, ...]


class ConfigReader(YamlReader):
    """Reads one file."""

    __slots__ = ("seen",)

    def __init__(self, file: str) -> None:
        """Reads nothing yet; `file` is the name that faults give."""
        super().__init__(file, "ratelimit", _PLACES)
        self.seen = 0

    def read(self, path: Path) -> Domain | None:
        """The file's domain; None where it has none. `faults` then says why."""
        try:
            content = path.read_bytes()
            if len(content) > MAX_FILE_BYTES:
                self.fault(None, "", f"has {len(content)} bytes; at most {MAX_FILE_BYTES} are read", "size")
                return None
            node = yaml.compose(content.decode("utf-8"), Loader=yaml.SafeLoader)
        except (OSError, UnicodeDecodeError) as fault:
            self.fault(None, "", f"cannot be read: {fault}", "unreadable")
        except yaml.YAMLError as fault:
            problem = getattr(fault, "problem", None) or "is no YAML"
            self.fault(getattr(fault, "problem_mark", None), "", f"is no valid YAML: {problem}", "yaml")
        except RecursionError:
            self.fault(None, "", f"is nested more than {MAX_DEPTH} levels deep", "depth")
        else:
            return self.domain(node)
        return None

    def domain(self, node: yaml.Node | None) -> Domain | None:
        """The document."""
        if node is None:
            self.fault(None, "", "is empty: write `domain` and `descriptors`", "empty")
            return None
        fields = self.mapping(node, "", _DOMAIN)
        name = self.text(fields.get("domain"), "domain")
        if not name:
            self.fault(fields.get("domain", node), "domain", "must not be empty: name the domain", "empty")
        descriptors = self.descriptors(fields.get("descriptors"), "", 1)
        row = mark(fields.get("domain", node))[0]
        return Domain(name, self.file, row, descriptors)

    def descriptors(self, node: yaml.Node | None, path: str, depth: int) -> tuple[Descriptor, ...]:
        """A level of the tree; no two of its nodes match the same."""
        at = f"{path}.descriptors" if path else "descriptors"
        if depth > MAX_LEVELS and not absent(node):
            self.fault(node, at, f"is nested more than {MAX_LEVELS} levels deep", "depth")
            return ()
        found: dict[tuple[str, str], str] = {}
        level = []
        for index, one in enumerate(self.sequence(node, at)):
            place = f"{at}[{index}]"
            self.seen += 1
            if self.seen > MAX_DESCRIPTORS:
                self.fault(one, place, f"is one more than the {MAX_DESCRIPTORS} that are read", "size")
                break
            descriptor = self.descriptor(one, place, depth)
            if descriptor is None:
                continue
            match = (descriptor.key, descriptor.value)
            if match in found:
                what = f"`{match[0]}`" + (f" with the value `{match[1]}`" if match[1] else " without a value")
                self.fault(
                    one, place, f"repeats {found[match]}, {what}: remove one of the two", "duplicate_key"
                )
            found.setdefault(match, place)
            level.append(descriptor)
        return tuple(level)

    def descriptor(self, node: yaml.Node, path: str, depth: int) -> Descriptor | None:
        """A node of the tree; None where it cannot match anything."""
        if not isinstance(node, yaml.MappingNode):
            self.fault(
                node, path, "is no mapping: write `key`, and `value` or `rate_limit` as needed", "form"
            )
            return None
        fields = self.mapping(node, path, _DESCRIPTOR)
        key = self.text(fields.get("key"), f"{path}.key")
        value = self.text(fields.get("value"), f"{path}.value")
        if not key:
            self.fault(fields.get("key", node), f"{path}.key", "must not be empty: name the key", "empty_key")
        elif "*" in key:
            self.fault(fields["key"], f"{path}.key", "holds `*`: a wildcard belongs into `value`", "wildcard")
        flags = {name: self.flag(fields.get(name), f"{path}.{name}") for name in _DESCRIPTOR[4:9]}
        if flags["share_threshold"] and "*" not in value:
            message = "wants a wildcard to share: write a `value` with `*`, or remove it"
            self.fault(fields["share_threshold"], f"{path}.share_threshold", message, "share_threshold")
        if flags["quota_mode"]:
            message = (
                "cannot be imported: it refuses only when all quotas of a request are used up, and here one "
                "used-up limit refuses; remove it, or write `shadow_mode: true` to count and never refuse"
            )
            self.fault(fields["quota_mode"], f"{path}.quota_mode", message, "quota_mode")
        limit = self.limit(fields.get("rate_limit"), f"{path}.rate_limit")
        children = self.descriptors(fields.get("descriptors"), path, depth + 1)
        metadata = self.metadata(fields.get("metadata"), f"{path}.metadata")
        return Descriptor(
            key,
            value,
            limit,
            children,
            flags["shadow_mode"],
            flags["detailed_metric"],
            flags["value_to_metric"],
            flags["share_threshold"],
            metadata,
            path,
            mark(node)[0],
        )

    def limit(self, node: yaml.Node | None, path: str) -> RateLimit | None:
        """A `rate_limit`."""
        if absent(node):
            return None
        fields = self.mapping(node, path, _RATE_LIMIT)
        unlimited = self.flag(fields.get("unlimited"), f"{path}.unlimited")
        name = self.text(fields.get("name"), f"{path}.name")
        replaces = self.replaces(fields.get("replaces"), f"{path}.replaces", name)
        if unlimited:
            for other in ("unit", "requests_per_unit"):
                if not absent(fields.get(other)):
                    message = "contradicts `unlimited`: remove one of the two"
                    self.fault(fields[other], f"{path}.{other}", message, "unlimited")
            return RateLimit("", 0, unlimited=True, name=name, replaces=replaces)
        at = fields.get("unit", node)
        unit = self.text(fields.get("unit"), f"{path}.unit").lower()
        if unit not in UNITS:
            what = f"`{unit}` is no unit" if unit else "is missing"
            self.fault(at, f"{path}.unit", f"{what}: write one of {', '.join(UNITS)}", "unit")
        requests = self.count(fields.get("requests_per_unit"), node, f"{path}.requests_per_unit")
        return RateLimit(unit, requests, unlimited=False, name=name, replaces=replaces)

    def replaces(self, node: yaml.Node | None, path: str, own: str) -> tuple[str, ...]:
        """Names that a limit replaces."""
        names: list[str] = []
        for index, one in enumerate(self.sequence(node, path)):
            at = f"{path}[{index}].name"
            fields = self.mapping(one, f"{path}[{index}]", _REPLACES)
            name = self.text(fields.get("name"), at)
            place = fields.get("name", one)
            if not name:
                self.fault(place, at, "must not be empty: name the limit that is replaced", "replaces")
            elif name == own:
                self.fault(place, at, f"`{name}` replaces itself: name another limit", "replaces")
            elif name not in names:
                names.append(name)
        return tuple(names)

    def count(self, node: yaml.Node | None, around: yaml.Node | None, path: str) -> int:
        """A `requests_per_unit`."""
        if absent(node):
            self.fault(around, path, "is missing: write how many requests a unit admits", "requests")
            return 1
        number = constructed(node)
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= MAX_REQUESTS:
            message = f"`{shown(node)}` is no whole number from 0 to {MAX_REQUESTS}"
            self.fault(node, path, message, "requests")
            return 1
        return number

    def metadata(self, node: yaml.Node | None, path: str) -> Any:
        """Metadata, which may hold anything but what JSON cannot."""
        if absent(node):
            return None
        if not isinstance(node, yaml.MappingNode):
            self.fault(node, path, "is no mapping", "metadata")
            return None
        try:
            return _plain(yaml.SafeLoader("").construct_document(node))
        except (yaml.YAMLError, ValueError, RecursionError) as fault:
            self.fault(node, path, f"cannot be kept: {str(fault).splitlines()[0]}", "metadata")
            return None


def _plain(value: Any) -> Any:
    """Metadata as JSON has it: keys are texts. Aliases are written out, so their number is bounded."""
    left = MAX_METADATA

    def convert(value: Any, depth: int) -> Any:
        nonlocal left
        left -= 1
        if left < 0 or depth > MAX_DEPTH:
            raise ValueError(f"it holds more than {MAX_METADATA} values, or {MAX_DEPTH} levels")
        if isinstance(value, dict):
            return {str(key): convert(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list):
            return [convert(item, depth + 1) for item in value]
        finite = not isinstance(value, float) or math.isfinite(value)
        return value if finite and (value is None or isinstance(value, str | int | float)) else str(value)

    return convert(value, 1)
