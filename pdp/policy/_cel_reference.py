"""The CEL policy format evaluated with cel-python, as the reference of CEL."""

from __future__ import annotations

import ipaddress
import json
from typing import TYPE_CHECKING, Any

import yaml

from pdp.errors import PdpError
from pdp.policy._verdict import PolicyVerdict, canonical

if TYPE_CHECKING:
    from collections.abc import Mapping

# A message that a request lacks reads as empty.
_MESSAGES = (
    "subject",
    "resource",
    "function",
    "destination",
    "transport",
    "http",
    "payload",
    "limit",
    "device",
    "location",
    "behaviour",
    "context",
)


class CelReferenceError(PdpError):
    """cel-python cannot be used, or refuses the policy."""


class CelReference:
    """A CEL policy that cel-python evaluates."""

    def __init__(self, text: str) -> None:
        """Compiles every expression of the policy document in `text`.

        Raises:
            CelReferenceError: When cel-python is not installed or refuses an expression.
        """
        try:
            import celpy  # noqa: PLC0415 - an optional dependency
        except ImportError as fault:
            raise CelReferenceError("cel-python is not installed: `pip install cel-python`") from fault
        self._celpy: Any = celpy
        self._environment = celpy.Environment()
        self._programs: dict[str, Any] = {}
        self._rule = yaml.safe_load(text)["rule"]
        self._compile(self._rule)

    def check(self, document: Mapping[str, Any]) -> PolicyVerdict:
        """What the policy says of an input document."""
        try:
            return _verdict(self._output(document))
        except Exception:  # noqa: BLE001 - cel-python raises many kinds where an expression fails
            return PolicyVerdict.error()

    def value(self, document: Mapping[str, Any]) -> str:
        """The policy's output as canonical JSON; `ERROR` where it fails."""
        try:
            return canonical(self._output(document))
        except Exception:  # noqa: BLE001 - as above
            return "ERROR"

    def _output(self, document: Mapping[str, Any]) -> Any:
        return self._rule_output(self._rule, _activation(self._celpy, document), {})

    def _compile(self, rule: Mapping[str, Any]) -> None:
        for one in rule.get("variables") or ():
            self._add(one["expression"])
        for branch in rule.get("match") or ():
            for key in ("condition", "output"):
                if key in branch:
                    self._add(branch[key])
            if "rule" in branch:
                self._compile(branch["rule"])

    def _add(self, expression: Any) -> None:
        text = _source(expression)
        try:
            program = self._environment.program(self._environment.compile(text), {"network": _network})
            self._programs[text] = program
        except self._celpy.CELParseError as fault:
            raise CelReferenceError(f"cel-python refuses `{text}`: {fault}") from fault

    def _rule_output(self, rule: Mapping[str, Any], names: dict[str, Any], outer: Mapping[str, str]) -> Any:
        """The output of the first branch whose condition holds; None where none does."""
        expressions = {
            **outer,
            **{one["name"]: _source(one["expression"]) for one in rule.get("variables") or ()},
        }
        scope = names | {"variables": self._variables(expressions, names)}
        for branch in rule.get("match") or ():
            if "condition" in branch and not self._holds(branch["condition"], scope):
                continue
            if "rule" in branch:
                return self._rule_output(branch["rule"], names, expressions)
            encoder = self._celpy.adapter.CELJSONEncoder
            return json.loads(
                json.dumps(self._programs[_source(branch["output"])].evaluate(scope), cls=encoder)
            )
        return None

    def _holds(self, condition: Any, scope: dict[str, Any]) -> bool:
        value = self._programs[_source(condition)].evaluate(scope)
        if not isinstance(value, bool | self._celpy.celtypes.BoolType):
            raise self._celpy.CELEvalError("a condition is not a boolean")
        return bool(value)

    def _variables(self, expressions: Mapping[str, str], names: dict[str, Any]) -> Any:
        """A map that evaluates a variable when an expression reads it, as the format says."""
        programs, base = self._programs, self._celpy.celtypes.MapType
        string = self._celpy.celtypes.StringType

        class Lazy(base):  # type: ignore[misc, valid-type] # an untyped library
            def __getitem__(self, key: Any) -> Any:
                return programs[expressions[str(key)]].evaluate(names | {"variables": self})

        return Lazy({string(name): string("") for name in expressions})


def expression_value(text: str, document: Mapping[str, Any]) -> str:
    """The value of one expression over an input document as canonical JSON; `ERROR` where it fails.

    Raises:
        CelReferenceError: When cel-python is not installed or refuses the expression.
    """
    return CelReference(json.dumps({"rule": {"match": [{"output": text}]}})).value(document)


def _network(address: Any, v4: Any, v6: Any) -> Any:
    """`network`, which is no part of CEL, for cel-python: an address' network in CIDR notation."""
    if "%" in address:
        raise ValueError("a zone is no part of an address")
    ip = ipaddress.ip_address(str(address))
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    prefix = int(v4) if ip.version == 4 else int(v6)  # noqa: PLR2004 - the version of IP
    return str(ipaddress.ip_network(f"{ip}/{prefix}", strict=False))


def _activation(celpy: Any, document: Mapping[str, Any]) -> dict[str, Any]:
    """An input document as cel-python's names."""
    whole = {name: {} for name in _MESSAGES} | dict(document)
    # CEL reserves the word `function`; policies read it under this name.
    whole["workload"] = whole.pop("function")
    return {name: celpy.json_to_cel(value) for name, value in whole.items()}


def _source(expression: Any) -> str:
    """An expression's text; YAML reads `true` and `1` as values of its own."""
    return expression.strip() if isinstance(expression, str) else json.dumps(expression)


def _verdict(output: Any) -> PolicyVerdict:
    if output is None:
        return PolicyVerdict.deny([])
    if isinstance(output, bool):
        return PolicyVerdict.allow([]) if output else PolicyVerdict.deny([])
    if not isinstance(output, dict) or output.get("effect") not in {"allow", "deny"}:
        return PolicyVerdict.error()
    if output["effect"] == "allow":
        return PolicyVerdict.allow(output.get("obligations", []))
    return PolicyVerdict.deny([output["code"]] if "code" in output else [])
