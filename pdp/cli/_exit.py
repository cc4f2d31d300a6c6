"""Exit codes of the command; stable, so that scripts may rely on them."""

from __future__ import annotations

from enum import IntEnum

from pdp.errors import ConfigError, ListenError, PdpError, PolicySetError


class ExitCode(IntEnum):
    """What a command came to."""

    OK = 0
    FAULTY = 1
    ERROR = 2
    DENY = 3
    CONFIG = 64
    LISTEN = 69
    INTERRUPTED = 130

    @property
    def meaning(self) -> str:
        """The code in words."""
        return _MEANINGS[self]

    @classmethod
    def describe(cls) -> str:
        """All codes in one line."""
        return ", ".join(f"{one.value} {one.meaning}" for one in cls)


_MEANINGS = {
    ExitCode.OK: "allowed, or done",
    ExitCode.FAULTY: "policies are faulty, or tests failed",
    ExitCode.ERROR: "no answer, or wrong usage",
    ExitCode.DENY: "denied",
    ExitCode.CONFIG: "a setting cannot be used",
    ExitCode.LISTEN: "an address cannot be listened on",
    ExitCode.INTERRUPTED: "interrupted",
}


def code_of(fault: PdpError) -> ExitCode:
    """The exit code of an error."""
    match fault:
        case ConfigError():
            return ExitCode.CONFIG
        case PolicySetError():
            return ExitCode.FAULTY
        case ListenError():
            return ExitCode.LISTEN
        case _:
            return ExitCode.ERROR
