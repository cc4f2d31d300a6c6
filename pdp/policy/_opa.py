"""A real OPA, driven over its REST API, as the reference of Rego."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
from typing import TYPE_CHECKING, Any, Self

from pdp.errors import PdpError
from pdp.policy._manifest import package_of, read_data
from pdp.policy._verdict import PolicyVerdict

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from pdp.policy._manifest import PolicyEntry

_READY_SECONDS = 15.0
_ATTEMPTS = 5


class OpaError(PdpError):
    """The real OPA cannot be used."""


class RealOpa:
    """A running OPA that holds one policy at a time."""

    def __init__(self, binary: Path) -> None:
        """Starts `binary` on a free port of the loopback address.

        Raises:
            OpaError: When it does not start, or opa-python-client is not installed.
        """
        try:
            from opa_client.errors import ConnectionsError  # noqa: PLC0415 - an optional dependency
            from opa_client.opa import OpaClient  # noqa: PLC0415
        except ImportError as fault:
            raise OpaError("opa-python-client is not installed: `pip install opa-python-client`") from fault
        for _ in range(_ATTEMPTS):
            port = _free_port()
            self._process = _start(binary, port)
            self._client: Any = OpaClient(host="127.0.0.1", port=port, timeout=10.0)
            with contextlib.suppress(ConnectionsError):
                self._client.wait_for_ready(timeout=_READY_SECONDS, interval=0.05)
                # Another process may have taken the port first and be the one that answers.
                if self._process.poll() is None:
                    break
            self.close()
        else:
            raise OpaError(f"`{binary}` did not become ready")
        self._package = ""
        self._loaded: list[str] = []

    def __enter__(self) -> Self:
        """Returns the server, to be stopped at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops the server."""
        self.close()

    def close(self) -> None:
        """Stops the server."""
        self._client.close_connection()
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def load(self, policies: Path, entry: PolicyEntry) -> None:
        """Replaces what the server holds by one policy with its libraries and data.

        Raises:
            OpaError: When OPA refuses a module.
        """
        # Users of a library go before it: OPA compiles what is left after each one.
        while self._loaded:
            self._client.delete_policy(self._loaded.pop())
        for name, document in read_data(policies, entry).items():
            self._client.update_or_create_data(document, name)
        for name in (*entry.libraries, entry.source):
            text = (policies / name).read_text(encoding="utf-8")
            try:
                self._client.update_policy_from_string(text, name, rego_compat=False)
            except Exception as fault:
                raise OpaError(f"`{name}` is refused: {fault}") from fault
            self._loaded.append(name)
            self._package = package_of(text)

    def check(self, document: Mapping[str, Any]) -> PolicyVerdict:
        """What the loaded policy says of an input document."""
        from requests import HTTPError  # noqa: PLC0415 - comes with opa-python-client

        try:
            answer = self._client.query_rule(dict(document), self._package)
        except HTTPError:
            return PolicyVerdict.error()
        rules = answer.get("result", {})
        denied = rules.get("deny", [])
        if denied:
            return PolicyVerdict.deny([one["code"] for one in denied if "code" in one])
        if rules.get("allow") is True:
            return PolicyVerdict.allow(rules.get("obligations", []))
        return PolicyVerdict.deny([])


def run_opa_tests(binary: Path, policies: Path, entry: PolicyEntry) -> dict[str, bool]:
    """Whether each test of a policy passes in OPA, by `package.name`.

    Raises:
        OpaError: When OPA refuses the policy or its tests.
    """
    tests = [name for name in (entry.test, *map(_test_of, entry.libraries)) if (policies / name).is_file()]
    data = [f"{(policies / name).stem}:{policies / name}" for name in entry.data]
    files = [str(policies / name) for name in (entry.source, *entry.libraries, *tests)]
    command = [str(binary), "test", "--format=json", *files, *data]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603
    try:
        results = json.loads(done.stdout) or []
    except ValueError as fault:
        raise OpaError(f"`opa test` refuses `{entry.source}`: {done.stderr.strip()[:500]}") from fault
    return {
        f"{one['package'].removeprefix('data.')}.{one['name']}": not (one.get("fail") or one.get("error"))
        for one in results
        if not one.get("skip")
    }


def _test_of(module: str) -> str:
    return module.removesuffix(".rego") + "_test.rego"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start(binary: Path, port: int) -> subprocess.Popen[bytes]:
    command = [str(binary), "run", "--server", "--addr", f"127.0.0.1:{port}", "--log-level", "error"]
    try:
        return subprocess.Popen(  # noqa: S603 - the user names the binary
            [*command, "--skip-version-check"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    except OSError as fault:
        raise OpaError(f"`{binary}` cannot be started: {fault.strerror}") from fault
