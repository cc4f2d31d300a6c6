"""The decision service in this process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from pdp import _core
from pdp.engine._sample import sample_policies

if TYPE_CHECKING:
    from types import TracebackType

    from pdp.config import Config


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a server listens, `address:port` each; None where it does not.

    Attributes:
        decision: The decision service.
        admin: The admin service.
        http: Metrics and probes.
    """

    decision: str
    admin: str | None
    http: str | None


class Server:
    """A decision point that listens; its threads are the core's own."""

    def __init__(self, config: Config) -> None:
        """Checks the settings; nothing is built and nothing listens yet.

        Raises:
            ConfigError: When a setting cannot be used.
        """
        self._core = _core.Server(config.server_document(config.policies or sample_policies()))

    def __enter__(self) -> Self:
        """Returns the server, to be drained at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drains."""
        self.drain()

    def start(self) -> Addresses:
        """Builds the policy set and starts to listen.

        Raises:
            PolicySetError: When the set does not build.
            ListenError: When an address is in use or may not be used.
        """
        bound = self._core.start()
        return Addresses(bound["listen"], bound.get("admin_listen"), bound.get("http_listen"))

    def wait(self, timeout: float) -> bool:
        """Waits until the server has ended, at most `timeout` seconds; whether it has."""
        return self._core.wait(timeout)

    def drain(self) -> bool:
        """Takes no more calls, answers those in progress and ends; whether all were answered in time."""
        return self._core.drain()

    def reload(self) -> str:
        """Builds the policy set anew, swaps it in whole and returns its revision.

        Raises:
            PolicySetError: When it does not build; the old set keeps serving.
        """
        return self._core.reload()
