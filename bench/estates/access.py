"""Access: 1,000 users in 50 roles, device posture, place and behaviour score.

The same decisions are expressed for the decision point in Rego and in CEL, for
OPA (the same Rego) and for Cerbos. Rego looks the user's roles up in its data;
CEL and Cerbos get them with the request, since neither holds data.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from estates.model import (
    ALLOW,
    DENY,
    PDP_EXPECTATIONS,
    PolicyFiles,
    Record,
    Work,
    Zipf,
    effect_expectations,
    generator,
)
from estates.wire import attributes, field
from pdp._proto import decision_pb2 as pb

if TYPE_CHECKING:
    import random
    from pathlib import Path

COUNTRIES = ("AT", "BE", "DE", "ES", "FR", "IT", "NL", "PL", "PT", "SE")
ACTIONS = ("read", "create", "update", "delete", "approve")
CALM_BELOW = 0.7
HOSTILE_FROM = 0.9

REGO = """\
# METADATA
# title: Access to the estate's resources
package bench.access

import data.estate

# METADATA
# title: Allow
# description: A role grants the action, and device, place and behaviour are in order.
allow if {
	granted
	trusted_device
	placed
	input.behaviour.score < estate.calm_below
}

# METADATA
# title: Hostile behaviour
deny contains {"code": "behaviour_risk", "message": "recent behaviour is hostile"} if {
	input.behaviour.score >= estate.hostile_from
}

granted if {
	some role in estate.users[input.subject.id]
	input.action in estate.roles[role][input.resource.type]
}

trusted_device if {
	input.device.managed == true
	input.device.compliant == true
	input.device.disk_encrypted == true
}

placed if {
	input.location.country in estate.countries
	input.location.anonymous == false
}
"""

# What a caller of OPA reads instead of combining `allow` and `deny` itself.
OPA_ENTRYPOINT = """\
package bench.answer

import data.bench.access

default permitted := false

permitted if {
	access.allow
	count(access.deny) == 0
}
"""


@dataclass(frozen=True, slots=True)
class Question:
    """One request and whether it is allowed."""

    user: str
    roles: tuple[str, ...]
    action: str
    kind: str
    number: int
    compliant: bool
    country: str
    anonymous: bool
    score: float
    allowed: bool

    def facts(self) -> dict[str, dict[str, object]]:
        """Device, place and behaviour, as every target gets them."""
        return {
            "device": {"managed": True, "compliant": self.compliant, "disk_encrypted": True},
            "location": {"country": self.country, "anonymous": self.anonymous},
            "behaviour": {"score": self.score},
        }


class AccessEstate:
    """Users, roles, grants, and questions about them."""

    def __init__(
        self,
        *,
        engine: str = "rego",
        users: int = 1000,
        roles: int = 50,
        kinds: int = 20,
        requests: int = 4096,
        zipf: float | None = None,
        per_user: int = 3,
    ) -> None:
        """Generates the estate; with `zipf`, users repeat their `per_user` own questions."""
        self._engine = engine
        numbers = generator("access", users, roles, kinds)
        self.kinds = [f"kind-{index:02}" for index in range(kinds)]
        self._grants = {
            f"role-{index:02}": {
                kind: sorted(numbers.sample(ACTIONS, 2)) for kind in numbers.sample(self.kinds, 4)
            }
            for index in range(roles)
        }
        names = sorted(self._grants)
        self._users = {
            f"user-{index:04}": tuple(numbers.sample(names, numbers.randint(1, 3))) for index in range(users)
        }
        self.questions = self._draw(numbers, requests, zipf, per_user)

    def _draw(
        self, numbers: random.Random, requests: int, zipf: float | None, per_user: int
    ) -> list[Question]:
        users = list(self._users)
        if zipf is None:
            return [self._question(numbers, numbers.choice(users)) for _ in range(requests)]
        own = {user: [self._question(numbers, user) for _ in range(per_user)] for user in users}
        ranks = Zipf(len(users), zipf)
        return [numbers.choice(own[users[ranks.draw(numbers)]]) for _ in range(requests)]

    def _question(self, numbers: random.Random, user: str) -> Question:
        """Five of six are allowed; the others fail for one reason each."""
        roles = self._users[user]
        kind, actions = numbers.choice(sorted(self._grants[numbers.choice(roles)].items()))
        action = numbers.choice(actions)
        fault = numbers.choice(["none"] * 25 + ["role", "device", "country", "risk", "hostile"])
        if fault == "role":
            held = {act for role in roles for act in self._grants[role].get(kind, ())}
            action = next((act for act in ACTIONS if act not in held), "purge")
        score = {"risk": 0.8, "hostile": 0.95}.get(fault, round(numbers.random() * 0.6, 3))
        return Question(
            user=user,
            roles=roles,
            action=action,
            kind=kind,
            number=numbers.randrange(1_000_000),
            compliant=fault != "device",
            country="XX" if fault == "country" else numbers.choice(COUNTRIES),
            anonymous=False,
            score=score,
            allowed=fault == "none",
        )

    def policies(self) -> PolicyFiles:
        """One Rego policy over data, or a CEL policy for each kind of resource."""
        if self._engine == "rego":
            entry = {
                "id": "bench.access",
                "kind": "access",
                "engine": "rego",
                "source": "rego/access/policy.rego",
                "data": ["data/estate.json"],
            }
            files = {"rego/access/policy.rego": REGO, "data/estate.json": json.dumps(self._data())}
            return PolicyFiles([entry], files)
        policies = PolicyFiles()
        for kind in self.kinds:
            source = f"cel/{kind}.yaml"
            entry = {"id": f"bench.{kind}", "kind": "access", "engine": "cel", "source": source}
            policies.entries.append({**entry, "match": {"resources": [f"/{kind}/*"]}})
            policies.files[source] = yaml.safe_dump(self._cel(kind), sort_keys=False, width=1000)
        return policies

    def _data(self) -> dict[str, object]:
        return {
            "users": self._users,
            "roles": self._grants,
            "countries": COUNTRIES,
            "calm_below": CALM_BELOW,
            "hostile_from": HOSTILE_FROM,
        }

    def _granting(self, kind: str) -> dict[str, list[str]]:
        """Roles that grant each action on `kind`."""
        granting = {
            action: [role for role, grants in self._grants.items() if action in grants.get(kind, ())]
            for action in ACTIONS
        }
        return {action: roles for action, roles in granting.items() if roles}

    def _cel(self, kind: str) -> dict[str, object]:
        may = " || ".join(
            f"(action == {json.dumps(action)} && subject.roles.exists(r, r in {json.dumps(roles)}))"
            for action, roles in self._granting(kind).items()
        )
        variables = {
            "may": may or "false",
            "trusted": "device.managed && device.compliant && device.disk_encrypted",
            "placed": f"location.country in {json.dumps(COUNTRIES)} && !location.anonymous",
            "calm": f"behaviour.score < {CALM_BELOW}",
        }
        hostile = '{"effect": "deny", "code": "behaviour_risk", "message": "recent behaviour is hostile"}'
        allowed = "variables.may && variables.trusted && variables.placed && variables.calm"
        return {
            "name": f"bench.{kind.replace('-', '_')}",
            "rule": {
                "variables": [{"name": name, "expression": text} for name, text in variables.items()],
                "match": [
                    {"condition": f"behaviour.score >= {HOSTILE_FROM}", "output": hostile},
                    {"condition": allowed, "output": '{"effect": "allow"}'},
                ],
            },
        }

    def write_peer(self, target: str, directory: Path) -> None:
        """OPA gets the same Rego and data; Cerbos a resource policy for each kind."""
        if target == "opa":
            (directory / "policy.rego").write_text(REGO, encoding="utf-8")
            (directory / "answer.rego").write_text(OPA_ENTRYPOINT, encoding="utf-8")
            (directory / "estate.json").write_text(json.dumps(self._data()), encoding="utf-8")
            return
        for name, document in self._cerbos().items():
            (directory / f"{name}.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")

    def _cerbos(self) -> dict[str, dict[str, object]]:
        def when(*expressions: str) -> dict[str, object]:
            return {"match": {"all": {"of": [{"expr": text} for text in expressions]}}}

        hostile = {
            "name": "hostile",
            "parentRoles": ["*"],
            "condition": when(f"P.attr.behaviour.score >= {HOSTILE_FROM}"),
        }
        documents: dict[str, dict[str, object]] = {
            "derived_roles": {
                "apiVersion": "api.cerbos.dev/v1",
                "derivedRoles": {"name": "behaviour", "definitions": [hostile]},
            }
        }
        device = "P.attr.device"
        local = {
            "trusted": f"{device}.managed && {device}.compliant && {device}.disk_encrypted",
            "placed": f"P.attr.location.country in {json.dumps(COUNTRIES)} && !P.attr.location.anonymous",
            "calm": f"P.attr.behaviour.score < {CALM_BELOW}",
        }
        in_order = when("V.trusted", "V.placed", "V.calm")
        for kind in self.kinds:
            rules: list[dict[str, object]] = [
                {"actions": ["*"], "effect": "EFFECT_DENY", "derivedRoles": ["hostile"]}
            ]
            rules.extend(
                {"actions": [action], "effect": "EFFECT_ALLOW", "roles": roles, "condition": in_order}
                for action, roles in self._granting(kind).items()
            )
            documents[kind] = {
                "apiVersion": "api.cerbos.dev/v1",
                "resourcePolicy": {
                    "resource": kind,
                    "version": "default",
                    "importDerivedRoles": ["behaviour"],
                    "variables": {"local": local},
                    "rules": rules,
                },
            }
        return documents

    def work(self, target: str) -> Work:
        """The questions, encoded for `target`."""
        encode, expectations = {
            "pdp": (encode_pdp, PDP_EXPECTATIONS),
            "opa": (_encode_opa, OPA_EXPECTATIONS),
            "cerbos": (_encode_cerbos, effect_expectations([2, 2, 2])),
        }[target]
        records = [Record(ALLOW if one.allowed else DENY, encode(one)) for one in self.questions]
        return Work(records, expectations)


OPA_EXPECTATIONS = [[{"contains": {"text": f'"result":{value}'}}] for value in ("true", "false")]


def encode_pdp(question: Question) -> bytes:
    """A `CheckRequest`."""
    facts = question.facts()
    return pb.CheckRequest(
        tenant="bench",
        questions=[pb.QUESTION_ACCESS],
        subject=pb.Subject(id=question.user, type="user", roles=question.roles, authentication="mfa"),
        action=question.action,
        resource=pb.Resource(id=f"/{question.kind}/{question.number}", type=question.kind),
        device=pb.Device(**facts["device"]),
        location=pb.Location(**facts["location"]),
        behaviour=pb.Behaviour(**facts["behaviour"]),
    ).SerializeToString()


def _encode_opa(question: Question) -> bytes:
    """The decision point's input document as the body of OPA's data API."""
    document = {
        "tenant": "bench",
        "subject": {
            "id": question.user,
            "type": "user",
            "roles": question.roles,
            "groups": [],
            "authentication": "mfa",
            "attributes": {},
        },
        "action": question.action,
        "resource": {
            "id": f"/{question.kind}/{question.number}",
            "type": question.kind,
            "labels": {},
            "attributes": {},
        },
        **question.facts(),
    }
    return json.dumps({"input": document}, separators=(",", ":")).encode()


def _encode_cerbos(question: Question) -> bytes:
    """A `cerbos.request.v1.CheckResourcesRequest`."""
    principal = field(1, question.user) + b"".join(field(3, role) for role in question.roles)
    principal += attributes(4, question.facts())
    resource = field(1, question.kind) + field(3, f"/{question.kind}/{question.number}")
    entry = field(1, question.action) + field(2, resource)
    return field(3, principal) + field(4, entry)
