"""YAML read with the place of everything: each key known and written once, each fault with row and column."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from pdp.errors import Diagnostic

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_DEPTH = 32
MAX_TEXT_BYTES = 1024
MAX_FAULTS = 100
MAX_SHOWN = 60

_NULL = "tag:yaml.org,2002:null"
_MERGE = "tag:yaml.org,2002:merge"


@dataclass(slots=True)
class YamlReader:
    """Reads nodes of one file and keeps its faults, so that one run names them all.

    Attributes:
        file: The file's name in faults.
        area: First part of each fault's code.
        places: Keys that are known somewhere, by where that is.
        faults: What was found wrong.
    """

    file: str
    area: str
    places: dict[str, tuple[str, ...]]
    faults: list[Diagnostic] = field(default_factory=list)

    def flag(self, node: yaml.Node | None, path: str) -> bool:
        """A boolean, false where absent."""
        if absent(node):
            return False
        value = constructed(node)
        if not isinstance(value, bool):
            self.fault(node, path, f"`{shown(node)}` is neither true nor false", "form")
            return False
        return value

    def text(self, node: yaml.Node | None, path: str) -> str:
        """A text as written, whatever YAML takes it for: `404` and `true` are texts too."""
        if absent(node):
            return ""
        if not isinstance(node, yaml.ScalarNode):
            self.fault(node, path, "is no text", "form")
            return ""
        value = str(node.value)
        size = len(value.encode("utf-8", "surrogatepass"))
        if size > MAX_TEXT_BYTES:
            self.fault(node, path, f"has {size} bytes; at most {MAX_TEXT_BYTES} are accepted", "size")
            return ""
        return value

    def sequence(self, node: yaml.Node | None, path: str) -> list[yaml.Node]:
        """Items of a list, none where it is absent."""
        if absent(node):
            return []
        if isinstance(node, yaml.SequenceNode):
            return list(node.value)
        self.fault(node, path, "is no list", "form")
        return []

    def mapping(self, node: yaml.Node | None, path: str, keys: tuple[str, ...]) -> Mapping[str, yaml.Node]:
        """Values of a mapping by key: each known, each once."""
        if not isinstance(node, yaml.MappingNode):
            self.fault(node, path, "is no mapping", "form")
            return {}
        found: dict[str, yaml.Node] = {}
        for key, value in self.pairs(node, path, 0):
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            at = f"{path}.{name}" if path else str(name)
            if not isinstance(key, yaml.ScalarNode) or not isinstance(constructed(key), str):
                text = shown(key)
                self.fault(key, path or text, f"the key `{text}` is no text: {_known(keys)}", "key")
            elif name not in keys:
                self.fault(key, at, self.unknown(name, keys), "unknown_key")
            elif name in found:
                self.fault(key, at, "is written twice: remove one of the two", "duplicate_key")
            else:
                found[name] = value
        return found

    def pairs(self, node: yaml.MappingNode, path: str, depth: int) -> list[tuple[yaml.Node, yaml.Node]]:
        """Pairs of a mapping; merged ones (`<<`) only where they are not written."""
        own = [pair for pair in node.value if pair[0].tag != _MERGE]
        written = {key.value for key, _ in own if isinstance(key, yaml.ScalarNode)}
        for key, merged in (pair for pair in node.value if pair[0].tag == _MERGE):
            sources = merged.value if isinstance(merged, yaml.SequenceNode) else [merged]
            for source in sources:
                if not isinstance(source, yaml.MappingNode) or depth >= MAX_DEPTH:
                    self.fault(key, path, "merges what is no mapping", "form")
                    continue
                for pair in self.pairs(source, path, depth + 1):
                    if pair[0].value not in written:
                        written.add(pair[0].value)
                        own.append(pair)
        return own

    def fault(self, place: yaml.Node | yaml.Mark | None, path: str, message: str, code: str) -> None:
        """Keeps a fault, once; past a hundred nobody reads on."""
        row, column = mark(place)
        text = f"`{path}`: {message}" if path else message
        one = Diagnostic(self.file, row, column, f"{self.area}_{code}", text)
        if one not in self.faults and len(self.faults) < MAX_FAULTS:
            self.faults.append(one)

    def unknown(self, name: str, keys: tuple[str, ...]) -> str:
        """What to say of a key that is not known at its place."""
        for place, others in self.places.items():
            if name in others:
                return f"does not belong here but {place}"
        squeezed = [key for key in keys if key.replace("_", "") == name.replace("_", "").lower()]
        guess = (squeezed or difflib.get_close_matches(name, keys, n=1))[:1]
        return f"unknown key: did you mean `{guess[0]}`?" if guess else f"unknown key: {_known(keys)}"


def absent(node: yaml.Node | None) -> bool:
    """Whether nothing is written: null is nothing."""
    return node is None or node.tag == _NULL


def constructed(node: yaml.Node | None) -> Any:
    """The value of a scalar; None where it is none, or cannot be read as what it looks like."""
    if not isinstance(node, yaml.ScalarNode):
        return None
    try:
        return yaml.SafeLoader("").construct_document(node)
    except (yaml.YAMLError, ValueError):
        return None


def mark(place: yaml.Node | yaml.Mark | None) -> tuple[int, int]:
    """Row and column from 1; 0 where unknown."""
    at = place.start_mark if isinstance(place, yaml.Node) else place
    return (at.line + 1, at.column + 1) if at is not None else (0, 0)


def shown(node: yaml.Node | None) -> str:
    """What stands there, short."""
    text = str(node.value) if isinstance(node, yaml.ScalarNode) else "a list or mapping"
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."


def _known(keys: tuple[str, ...]) -> str:
    return f"known here are {', '.join(f'`{key}`' for key in keys)}"
