"""Decides in this process, without a server."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pdp import _core
from pdp._proto import admin_pb2 as admin_pb
from pdp._proto import decision_pb2 as pb
from pdp.config import Config
from pdp.engine._sample import sample_policies
from pdp.model import CheckRequest, CheckResult, Decision, LimitStatus

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from datetime import timedelta

    from pdp.model import FactPut

_read_response = pb.CheckResponse.FromString


@dataclass(frozen=True, slots=True)
class PolicyInfo:
    """One policy of the active set.

    Attributes:
        id: Id from the manifest.
        kind: `access`, `segmentation`, `egress` or `rate_limit`.
        engine: `rego`, `cel` or `limits`.
        tier: `guardrail`, `organisation` or `team`.
        mode: `enforce`, `shadow` or `off`.
    """

    id: str
    kind: str
    engine: str
    tier: str
    mode: str


class Engine:
    """A decision point inside this process; may be shared by threads.

    The interpreter is free for other threads while the core decides.
    """

    def __init__(
        self, policies: str | os.PathLike[str] | None = None, *, config: Config | None = None
    ) -> None:
        """Loads the policy set in `policies`, else the configured one, else the sample estate.

        Raises:
            PolicySetError: When the set does not build; holds every diagnostic.
            ConfigError: When a setting cannot be used.
        """
        config = config or Config()
        directory = Path(policies) if policies is not None else config.policies or sample_policies()
        self._core = _core.Engine(config.engine_document(directory))
        self._check = self._core.check

    @property
    def revision(self) -> str:
        """Revision of the active policy set: 16 hex digits."""
        return self._core.revision

    def policies(self) -> tuple[PolicyInfo, ...]:
        """Each policy of the active set."""
        return tuple(PolicyInfo(**one) for one in json.loads(self._core.policies()))

    def check(self, request: CheckRequest) -> Decision:
        """The decision on one request.

        Raises:
            RequestError: When there is no decision; its class and `reason` say why.
        """
        answer = _read_response(self._check(request.to_proto().SerializeToString()))
        return Decision.from_proto(answer.decision, answer.request_id)

    def authorize(self, request: CheckRequest) -> Decision:
        """The decision on one request, if it is ALLOW.

        Raises:
            AccessDenied: When the decision is DENY.
            RequestError: When there is no decision.
        """
        return self.check(request).require_allowed()

    def check_batch(self, requests: Sequence[CheckRequest]) -> tuple[CheckResult, ...]:
        """One result per request, in their order; one bad item never spoils the rest.

        Raises:
            RequestError: When the batch as a whole is refused.
        """
        message = pb.CheckBatchRequest(items=[one.to_proto() for one in requests])
        answer = pb.CheckBatchResponse.FromString(self._core.check_batch(message.SerializeToString()))
        return tuple(CheckResult.from_proto(one) for one in answer.results)

    def report_usage(self, decision: Decision, *, hits: int | None = None) -> tuple[LimitStatus, ...]:
        """Says what a decision's request came to, and gives back what it holds; see `Client.report_usage`.

        Raises:
            RequestError: When the decision names nothing to report, or its limits cannot be corrected.
        """
        message = decision.to_report(hits)
        answer = pb.ReportUsageResponse.FromString(self._core.report_usage(message.SerializeToString()))
        return tuple(LimitStatus.from_proto(one) for one in answer.limits)

    def put_facts(self, puts: Sequence[FactPut], ttl: timedelta | None = None) -> tuple[int, ...]:
        """Stores facts, of one tenant, or none of them; the version of each.

        Raises:
            RequestError: When nothing was stored; `field` names the document at fault.
        """
        request = admin_pb.PutFactsRequest(facts=[one.to_proto(at) for at, one in enumerate(puts)])
        if ttl is not None:
            request.ttl.FromTimedelta(ttl)
        answer = self._core.put_facts(request.SerializeToString())
        return tuple(admin_pb.PutFactsResponse.FromString(answer).versions)

    def reload(self) -> str:
        """Builds the policy set anew, swaps it in whole and returns its revision.

        Raises:
            PolicySetError: When it does not build; the old set keeps deciding.
        """
        return self._core.reload()
