"""`pdp serve`."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pdp.cli._logs import CoreEvents, logger
from pdp.cli._options import ConfigFile, Policies, settings
from pdp.cli._output import OUT
from pdp.config import LogFormat, LogLevel
from pdp.errors import PolicySetError

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from pdp.config import Config
    from pdp.engine import Addresses, Server

_STOP = frozenset({signal.SIGTERM, signal.SIGINT})
_RELOAD = frozenset({signal.SIGHUP})


def serve(
    *,
    policies: Policies = None,
    config: ConfigFile = None,
    listen: Annotated[
        str | None, typer.Option("--listen", show_default=False, help="Address of the decision service.")
    ] = None,
    admin_listen: Annotated[
        str | None,
        typer.Option("--admin-listen", show_default=False, help="Loopback address of the admin service."),
    ] = None,
    http_listen: Annotated[
        str | None, typer.Option("--http-listen", show_default=False, help="Address of metrics and probes.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", show_default=False, help="Request threads; 0 is one per core.")
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option("--tls-certificate", show_default=False, help="Certificate chain, PEM.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--tls-key", show_default=False, help="Private key, PEM.")
    ] = None,
    client_ca: Annotated[
        Path | None, typer.Option("--tls-client-ca", show_default=False, help="Authorities of clients, PEM.")
    ] = None,
    redis_url: Annotated[
        str | None,
        typer.Option(
            "--redis-url",
            show_default=False,
            help="Redis or Valkey server that keeps counters and facts; none keeps them in this process.",
        ),
    ] = None,
    allow_plaintext: Annotated[
        bool | None, typer.Option("--allow-plaintext", help="Permit plaintext off loopback.")
    ] = None,
    log_format: Annotated[
        LogFormat | None, typer.Option("--log-format", show_default=False, help="Form of log lines.")
    ] = None,
    log_level: Annotated[
        LogLevel | None, typer.Option("--log-level", show_default=False, help="Least severe level logged.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print no addresses and no questions.")] = False,
    questions: Annotated[
        bool | None,
        typer.Option(help="Print the sample estate's questions [default: where it is what serves]."),
    ] = None,
) -> None:
    """Runs a decision point until SIGTERM or SIGINT; SIGHUP reloads the policy set."""
    loaded = settings(
        config,
        policies=policies,
        listen=listen,
        admin_listen=admin_listen,
        http_listen=http_listen,
        threads=threads,
        tls__certificate=certificate,
        tls__key=key,
        tls__client_ca=client_ca,
        state__redis_url=redis_url,
        allow_plaintext=allow_plaintext,
        log__format=log_format,
        log__level=log_level,
    )
    if questions is None:
        questions = loaded.config.policies is None
    run(loaded.config, quiet=quiet, questions=questions and not quiet)


def run(config: Config, *, quiet: bool = False, questions: bool = False) -> None:
    """Serves until a signal says stop.

    Signals are blocked before the core starts its threads, so that only this
    thread takes them, one at a time and outside of any handler.
    """
    from pdp import _core  # noqa: PLC0415 - other commands must not pay for it
    from pdp.engine import Server  # noqa: PLC0415

    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP | _RELOAD)
    log = logger(config.log)
    _core.collect_events(config.log.level.value)
    events = CoreEvents(log, _core.take_events)
    try:
        server = Server(config)
        addresses = server.start()
        log.info("serving", listen=addresses.decision, admin=addresses.admin, http=addresses.http)
        if not quiet:
            _announce(config, addresses)
        if questions:
            _invite(config, addresses)
        _attend(server, log)
        log.info("stopped")
    finally:
        events.stop()


def _attend(server: Server, log: FilteringBoundLogger) -> None:
    """Takes signals until one says stop, and drains."""
    while True:
        taken = signal.sigwait(_STOP | _RELOAD)
        if taken in _STOP:
            log.info("draining", signal=signal.Signals(taken).name)
            server.drain()
            return
        _reload(server, log)


def _reload(server: Server, log: FilteringBoundLogger) -> None:
    """Reloads; a faulty set is logged and the old one keeps serving."""
    try:
        log.info("reloaded", revision=server.reload())
    except PolicySetError as fault:
        # The diagnostics say it all; a traceback would bury them.
        log.error("reload failed", diagnostics=[str(one) for one in fault.diagnostics])  # noqa: TRY400


def _announce(config: Config, addresses: Addresses) -> None:
    """Prints where the server listens."""
    scheme = "TLS" if config.tls else "plaintext"
    OUT.print(f"decision point  {addresses.decision}  (gRPC, {scheme}, reflection on)", style="bold")
    if addresses.admin:
        OUT.print(f"admin           {addresses.admin}  (gRPC, loopback only)")
    if addresses.http:
        OUT.print(f"metrics         http://{addresses.http}/metrics  (and /livez, /readyz)")


def _invite(config: Config, addresses: Addresses) -> None:
    """Prints a question of each kind that the sample estate answers, ready to paste."""
    from pdp.engine import sample_questions  # noqa: PLC0415 - other commands must not pay for it

    tls = " --ca <authorities.pem>" if config.tls else ""
    OUT.print("\nAsk it, from another terminal:")
    for question, sample in sample_questions().items():
        word = question.value.replace("_", "-")
        text = shlex.quote(json.dumps(sample, ensure_ascii=False))
        OUT.print(f"\necho {text} | {_command()} check {word} --server {addresses.decision}{tls} --input -")
    OUT.print("\nStop with Ctrl-C.")


def _command() -> str:
    """How to call this program from here: by its name where that finds it."""
    if shutil.which("pdp"):
        return "pdp"
    own = Path(sys.argv[0]).resolve()
    return shlex.quote(str(own.relative_to(Path.cwd()) if own.is_relative_to(Path.cwd()) else own))
