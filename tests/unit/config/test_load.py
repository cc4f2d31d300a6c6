"""Configuration: file < environment < flags, and one line for what cannot be used."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.config import Config, LogFormat, load
from pdp.errors import ConfigError


def write(directory: Path, text: str, name: str = "pdp.yaml") -> Path:
    """A configuration file."""
    file = directory / name
    file.write_text(text, encoding="utf-8")
    return file


def test_defaults_need_nothing() -> None:
    """A decision point runs on loopback without any setting."""
    loaded = load(None, {}, {})
    assert loaded.config == Config()
    assert loaded.origins == {}
    assert loaded.config.listen == "127.0.0.1:7070"


def test_later_sources_win_key_by_key(tmp_path: Path) -> None:
    """A flag beats the environment, which beats the file; the rest of a group stays."""
    file = write(tmp_path, "threads: 1\nwatch: false\nevaluation: {time_ms: 10, instructions: 500}\n")
    environment = {"PDP_THREADS": "2", "PDP_EVALUATION__TIME_MS": "20"}
    loaded = load(file, environment, {"threads": 3, "log.format": None})
    assert loaded.config.threads == 3
    assert loaded.config.watch is False
    assert (loaded.config.evaluation.time_ms, loaded.config.evaluation.instructions) == (20, 500)
    assert loaded.origins == {
        "threads": "flag",
        "watch": f"file {file}",
        "evaluation.time_ms": "environment PDP_EVALUATION__TIME_MS",
        "evaluation.instructions": f"file {file}",
    }


def test_toml_says_the_same_as_yaml(tmp_path: Path) -> None:
    """Both forms reach the same settings."""
    yaml = load(write(tmp_path, "log: {format: json}\nmemo_entries: 0\n"), {}, {})
    toml = load(write(tmp_path, 'memo_entries = 0\n[log]\nformat = "json"\n', "pdp.toml"), {}, {})
    assert yaml.config == toml.config
    assert yaml.config.log.format is LogFormat.JSON


def test_none_turns_a_listener_off() -> None:
    """The environment's only way to say nothing."""
    assert load(None, {"PDP_ADMIN_LISTEN": "none"}, {}).config.admin_listen is None
    assert load(None, {"PDP_HTTP_LISTEN": ""}, {}).config.http_listen is None


@pytest.mark.parametrize(
    ("environment", "key", "words"),
    [
        ({"PDP_THREADS": "many"}, "threads", "`many` (from environment PDP_THREADS)"),
        ({"PDP_THREADS": "-1"}, "threads", "must be greater than or equal to 0"),
        ({"PDP_WATCH_INTERVAL_MS": "1"}, "watch_interval_ms", "must be greater than or equal to 10"),
        ({"PDP_LISTEN": "localhost:80"}, "listen", "write an address and a port"),
        ({"PDP_LISTEN": "127.0.0.1:99999"}, "listen", "write a port from 0 to 65535"),
        ({"PDP_LOG__FORMAT": "xml"}, "log.format", "must be 'auto', 'console' or 'json'"),
        ({"PDP_LISTENN": "x"}, "PDP_LISTENN", "is not a setting"),
        ({"PDP_TLS__CERTIFICATE": "a"}, "tls.key", "required but not set"),
        ({"PDP_TLS__CA": "a"}, "tls.ca", "unknown setting (from environment PDP_TLS__CA)"),
        ({"PDP_EVALUATION": "{"}, "environment", "write it as JSON"),
    ],
)
def test_unusable_variable_is_one_line(environment: dict[str, str], key: str, words: str) -> None:
    """Key, value, source and fix, in one line."""
    with pytest.raises(ConfigError) as caught:
        load(None, environment, {})
    assert caught.value.key == key
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_secrets_are_never_printed(tmp_path: Path) -> None:
    """Neither by a configuration's own text nor by an error about one."""
    state = {"redis_url": "redis://ada:hush@h", "password": "hush"}
    assert "hush" not in repr(Config(state=state))  # type: ignore[arg-type]
    text = "state: {redis_url: {url: hush}, timeout_ms: 5}\n"
    for file, environment in (
        (write(tmp_path, text), {}),
        (write(tmp_path, "state: {password: [hush]}\n", "password.yaml"), {}),
        (write(tmp_path, "state: [hush]\n", "list.yaml"), {}),
    ):
        with pytest.raises(ConfigError) as caught:
            load(file, environment, {})
        assert "hush" not in str(caught.value)
        assert "(not shown)" in str(caught.value)


def test_state_reaches_both_documents() -> None:
    """A server and an embedded engine keep their state alike."""
    config = load(
        None, {"PDP_STATE__REDIS_URL": "redis://127.0.0.1:6379", "PDP_STATE__TLS_CA": "none"}, {}
    ).config
    for document in (config.server_document(Path("p")), config.engine_document(Path("p"))):
        state = json.loads(document)["state"]
        assert (state["redis_url"], state["tls_ca"]) == ("redis://127.0.0.1:6379", None)


def test_container_platform_s_own_variables_are_not_settings() -> None:
    """A service named `pdp` announces itself beside every container."""
    announced = {
        "PDP_SERVICE_HOST": "10.0.0.1",
        "PDP_SERVICE_PORT": "7070",
        "PDP_SERVICE_PORT_GRPC": "7070",
        "PDP_PORT": "tcp://10.0.0.1:7070",
        "PDP_PORT_7070_TCP_ADDR": "10.0.0.1",
    }
    assert load(None, announced, {}).config == Config()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- 1", "must hold a mapping"),
        ("threads: [", "does not parse"),
        ("thread: 1", "thread: unknown setting"),
        ("log: 5", "log:"),
    ],
)
def test_unusable_file_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    """A file's fault is told as a variable's is."""
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, text), {}, {})
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    """The error names the file."""
    with pytest.raises(ConfigError, match=r"cannot read .*absent\.yaml"):
        load(tmp_path / "absent.yaml", {}, {})


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(Config.model_fields)), JSON)
def test_any_value_is_used_or_refused(key: str, value: Any) -> None:
    """Nothing but a configuration or a configuration error comes out."""
    with contextlib.suppress(ConfigError):
        assert isinstance(load(None, {}, {key: value}).config, Config)


def test_core_gets_every_setting_but_logging(tmp_path: Path) -> None:
    """The core's documents hold what the core parses."""
    document = json.loads(Config().server_document(tmp_path))
    assert set(document) == set(Config.model_fields) - {"log"}
    assert document["policies"] == str(tmp_path)
    assert set(json.loads(Config().engine_document(tmp_path))) == {
        "policies",
        "evaluation",
        "memo_entries",
        "state",
    }
