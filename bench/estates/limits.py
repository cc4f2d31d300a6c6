"""Rate limits: one limit with room for everything, spent under one key or many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from estates.model import PDP_EXPECTATIONS, PolicyFiles, Record, Work, effect_expectations, generator
from estates.wire import field
from pdp._proto import decision_pb2 as pb

if TYPE_CHECKING:
    from pathlib import Path

ROOM = 1_000_000_000


class LimitsEstate:
    """Keys to spend under."""

    def __init__(
        self,
        *,
        keys: int = 1,
        algorithm: str = "gcra",
        window: str = "60s",
        counting: str = "exact",
        lease: int = 1000,
    ) -> None:
        """Generates `keys` keys, spent in random order; a leased limit takes up to `lease` hits ahead."""
        self._window = window
        self.keys = [f"key-{index:06}" for index in range(keys)]
        generator("limits", keys).shuffle(self.keys)
        self._algorithm = algorithm
        self._counting = {"counting": counting, **({"lease": lease} if counting == "leased" else {})}

    def policies(self) -> PolicyFiles:
        """One limit list."""
        limit = {
            "name": "calls-per-key",
            "algorithm": self._algorithm,
            "limit": ROOM,
            "window": self._window,
            "key": "limit.descriptors.api_key",
            **self._counting,
        }
        entry = {
            "id": "bench.limits",
            "kind": "rate_limit",
            "engine": "limits",
            "source": "limits/bench.yaml",
        }
        text = yaml.safe_dump({"limits": [limit]}, sort_keys=False)
        return PolicyFiles([entry], {"limits/bench.yaml": text})

    def write_peer(self, target: str, directory: Path) -> None:
        """The same limit for envoyproxy/ratelimit, whose widest unsigned window holds it."""
        if target != "ratelimit":
            raise ValueError(f"{target} has no limits")
        rate = {"unit": "minute", "requests_per_unit": ROOM}
        document = {"domain": "bench", "descriptors": [{"key": "api_key", "rate_limit": rate}]}
        config = directory / "ratelimit" / "config"
        config.mkdir(parents=True)
        (config / "bench.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")

    def work(self, target: str) -> Work:
        """One spend under each key."""
        if target == "pdp":
            return Work([Record(0, encode_pdp(key)) for key in self.keys], PDP_EXPECTATIONS)
        # envoy.service.ratelimit.v3: RateLimitRequest, and `overall_code` of the response, 1 for OK.
        records = [
            Record(0, field(1, "bench") + field(2, field(1, field(1, "api_key") + field(2, key))))
            for key in self.keys
        ]
        return Work(records, effect_expectations([1]))


def encode_pdp(key: str) -> bytes:
    """A `CheckRequest`."""
    return pb.CheckRequest(
        tenant="bench",
        questions=[pb.QUESTION_RATE_LIMIT],
        limit=pb.LimitSpend(descriptors={"api_key": key}),
    ).SerializeToString()
