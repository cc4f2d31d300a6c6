"""Options are checked when they are made."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdp.client import Client, ClientOptions, TlsFiles
from pdp.errors import ConfigError


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_deadline_must_be_positive(seconds: float) -> None:
    """A call that may take no time cannot be answered."""
    with pytest.raises(ConfigError, match="timeout_seconds"):
        ClientOptions(timeout_seconds=seconds)


def test_there_is_at_least_one_attempt() -> None:
    """Zero attempts would be no call."""
    with pytest.raises(ConfigError, match="attempts"):
        ClientOptions(attempts=0)


def test_unreadable_file_is_named(tmp_path: Path) -> None:
    """The error names the setting and the file, before anything is sent."""
    with pytest.raises(ConfigError, match=r"tls\.ca: cannot read .*nowhere\.pem"):
        Client("127.0.0.1:1", ClientOptions(tls=TlsFiles(ca=tmp_path / "nowhere.pem")))


def test_certificate_without_key_is_refused(tmp_path: Path) -> None:
    """Half an identity is none."""
    (tmp_path / "a.pem").write_text("x")
    with pytest.raises(ConfigError, match="belong together"):
        Client("127.0.0.1:1", ClientOptions(tls=TlsFiles(certificate=tmp_path / "a.pem")))
