"""Log lines: a console for people, JSON for machines; the core's events among them."""

from __future__ import annotations

import json
import logging
import sys
import threading
from typing import TYPE_CHECKING

import structlog

from pdp.config import LogConfig, LogFormat

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger


def logger(config: LogConfig) -> FilteringBoundLogger:
    """A logger that writes to standard error in the configured form."""
    plain = config.format is LogFormat.JSON or (config.format is LogFormat.AUTO and not sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if plain
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.processors.EventRenamer("message") if plain else _same,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[config.level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    log: FilteringBoundLogger = structlog.get_logger()
    return log


class CoreEvents:
    """Writes the core's events to a logger, from a thread of its own."""

    def __init__(self, log: FilteringBoundLogger, take: Callable[[float], list[str]]) -> None:
        """Starts to write what `take` returns."""
        self._log = log
        self._take = take
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="core-events", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Writes what is left and ends."""
        self._stopped.set()
        self._thread.join()
        self._write(0.0)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._write(0.2)

    def _write(self, timeout: float) -> None:
        for line in self._take(timeout):
            event = json.loads(line)
            level, message = event.pop("level"), event.pop("message")
            self._log.log(logging.getLevelNamesMapping()[level], message, **event)


def _same(log: object, name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Changes nothing."""
    del log, name
    return event
