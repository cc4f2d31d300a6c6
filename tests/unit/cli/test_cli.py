"""The command line without the core: usage, settings, documents that are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pdp.cli import ExitCode, main
from pdp.cli._exit import code_of
from pdp.errors import ConfigError, DeadlineError, ListenError, PdpError, PolicySetError


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Exit code of a command run in this process."""
    monkeypatch.setattr("sys.argv", ["pdp", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests do not see the settings of whoever runs them."""
    for variable in ("PDP_CONFIG", "PDP_OPA", "PDP_CONFORMANCE_DIR"):
        monkeypatch.delenv(variable, raising=False)


def test_show_prints_what_is_in_force(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sensitive values stay hidden, also in the JSON form."""
    monkeypatch.setenv("PDP_TLS__CERTIFICATE", "a.pem")
    monkeypatch.setenv("PDP_TLS__KEY", "secret.pem")
    assert run(monkeypatch, "config", "show", "--json") == ExitCode.OK
    out = capsys.readouterr().out
    assert json.loads(out)["tls.certificate"] == "a.pem"
    assert "secret.pem" not in out


def test_state_s_secrets_stay_hidden(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In every form, and where another of its settings is at fault."""
    monkeypatch.setenv("PDP_STATE__REDIS_URL", "redis://ada:hush@h")
    monkeypatch.setenv("PDP_STATE__PASSWORD", "hush")
    monkeypatch.setenv("PDP_STATE__PASSWORD_FILE", "/hush")
    monkeypatch.setenv("PDP_STATE__KEY_SECRET_FILE", "/hush")
    for command in (("show",), ("show", "--json"), ("explain",)):
        assert run(monkeypatch, "config", *command) == ExitCode.OK
    monkeypatch.setenv("PDP_STATE__TIMEOUT_MS", "0")
    assert run(monkeypatch, "config", "show") == ExitCode.CONFIG
    captured = capsys.readouterr()
    assert "hush" not in captured.out + captured.err
    assert "state.timeout_ms" in captured.err


def test_explain_says_where_a_value_comes_from(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each line has key, value and source."""
    monkeypatch.setenv("PDP_THREADS", "7")
    assert run(monkeypatch, "config", "explain") == ExitCode.OK
    assert "environment PDP_THREADS" in capsys.readouterr().out


def test_unusable_setting_is_one_line_and_64(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Key, value and fix on standard error; nothing on standard output."""
    monkeypatch.setenv("PDP_THREADS", "many")
    assert run(monkeypatch, "config", "show") == ExitCode.CONFIG == 64
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "threads: `many` (from environment PDP_THREADS)" in captured.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is neither JSON nor YAML"),
        ("subject: {id: a, rolls: []}", "subject.rolls: unknown key"),
        ("[]", "must be a mapping"),
    ],
)
def test_refused_document_is_one_line_and_2(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    text: str,
    words: str,
) -> None:
    """A document that cannot be read is no decision."""
    file = tmp_path / "request.yaml"
    file.write_text(text)
    assert (
        run(monkeypatch, "check", "access", "--input", str(file), "--server", "127.0.0.1:1") == ExitCode.ERROR
    )
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1


def test_absent_document_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The error names the file."""
    absent = str(tmp_path / "absent.json")
    assert run(monkeypatch, "check", "all", "--input", absent, "--server", "127.0.0.1:1") == ExitCode.ERROR
    assert f"cannot read `{absent}`" in capsys.readouterr().err


def test_wrong_usage_is_2(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown question is a matter of usage."""
    assert run(monkeypatch, "check", "everything", "--input", "-") == ExitCode.ERROR == 2


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (ConfigError("a", "b"), ExitCode.CONFIG),
        (PolicySetError([]), ExitCode.FAULTY),
        (ListenError("a"), ExitCode.LISTEN),
        (DeadlineError("DEADLINE", "", "late"), ExitCode.ERROR),
    ],
)
def test_error_chooses_the_exit_code(fault: PdpError, code: ExitCode) -> None:
    """Scripts can tell a denial from a failure."""
    assert code_of(fault) is code
    assert code not in (ExitCode.OK, ExitCode.DENY)


def test_every_exit_code_is_documented() -> None:
    """No code without a meaning."""
    assert all(one.meaning for one in ExitCode)
