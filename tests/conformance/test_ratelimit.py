"""Configurations of envoyproxy/ratelimit load or are refused as upstream says, and limit the same."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pdp.config import Config
from pdp.engine import Server
from pdp.errors import PolicySetError
from pdp.policy import import_ratelimit, validate

# What the README of the suite says loads; every other file is refused, with this in the first fault.
LOADED = frozenset(
    {"basic_config", "merge_domain_key1", "merge_domain_key2", "metadata", "shadowmode_config"}
    | {"share_threshold", "wildcard"}
)
REFUSED = {
    "bad_limit_unit": "`descriptors[0].rate_limit.unit`: `foo` is no unit",
    "bad_yaml": "is no valid YAML",
    "duplicate_domain": "`descriptors`: is empty",
    "duplicate_key": "`descriptors[1]`: repeats descriptors[0]",
    "empty_domain": "`domain`: must not be empty",
    "empty_key": "`descriptors[0].key`: must not be empty",
    "misspelled_key": "`descriptors[0].ratelimit`: unknown key: did you mean `rate_limit`?",
    "misspelled_key2": "`descriptors[0].rate_limit.requestsperunit`: unknown key",
    "non_map_list": "`descriptors[0]`: is no mapping",
    "non_string_key": "the key `0.25` is no text",
    "replaces_empty": "`descriptors[0].descriptors[0].rate_limit.replaces[0].name`: must not be empty",
    "replaces_self": "`descriptors[0].descriptors[0].rate_limit.replaces[0].name`: `self` replaces itself",
    "unlimited_with_unit": "`descriptors[0].rate_limit.unit`: contradicts `unlimited`",
}

# By file: a request's entries, and the limit that upstream finds for them (`rate/UNIT`, or none).
ANSWERS: dict[str, dict[str, str]] = {
    "basic_config": {
        "key1=value1": "none",
        "key1=other subkey1=x": "none",
        "key1=value1 subkey1=x": "5/SECOND",
        "key1=value1 subkey1=subvalue1": "10/SECOND",
        "key1=value1 subkey1=x more=y": "none",
        "key2=x": "20/MINUTE",
        "key2=value2": "30/MINUTE",
        "key2=value3": "unlimited",
        "key3=x": "1/HOUR",
        "key4=x": "1/DAY key4_rate_limit",
        "key5=value5": "15/DAY",
        "key5=other": "none",
        "key5=value5 subkey5=subvalue5": "25/DAY",
        "key5=value5 subkey5=other": "none",
        "key6=x": "unlimited",
        "key7=x": "70/MINUTE",
        "key8=x": "none",
    },
    "merge_domain_key1": {"key1=value1": "10/MINUTE", "key2=value2": "none"},
    "merge_domain_key2": {"key2=value2": "20/MINUTE", "key1=value1": "none"},
    "metadata": {"key1=value1 subkey1=x": "5/SECOND", "key2=x": "20/MINUTE"},
    "shadowmode_config": {
        "key1=value1 subkey1=subvalue1": "10/SECOND",
        "key1=value1 subkey1=x": "5/SECOND",
        "key2=x": "20/MINUTE",
        "key2=value2": "30/MINUTE",
    },
    "share_threshold": {
        "files=files/a": "100/MINUTE",
        "files=top/a": "none",
        "files=top/a files=nested/b": "300/MINUTE",
        "nested=parent files=nested/a": "200/MINUTE",
        "route=api/a method=GET": "60/MINUTE",
        "service=svc/a endpoint=x": "80/MINUTE",
        "path=path/a file=file/b type=x": "120/MINUTE",
        "user=user/a resource=res/b action=x": "150/MINUTE",
        "file=test1": "50/MINUTE",
        "file=test2": "100/MINUTE",
        "midpath=/api/x/v1": "100/MINUTE",
        "midpath=/api/x/v2": "none",
        "multiroute=svc-1-ep-2-rpc": "50/MINUTE",
        "midroute=/api/x/v2": "80/MINUTE",
        "tenant=t1prod resource=res1v2": "60/MINUTE",
    },
    "wildcard": {
        "wild=foo": "20/MINUTE",
        "wild=foo1": "20/MINUTE",
        "wild=fo": "none",
        "noWild=foo": "20/MINUTE",
        "noWild=foo1": "none",
        "noVal=x": "20/MINUTE",
        "midWild=bar1b": "20/MINUTE",
        "midWild=bar": "none",
        "multiWild=foo1bar2baz": "10/MINUTE",
        "multiWild=foo1baz": "none",
        "nestedWild=val1 wild=goo1": "20/MINUTE",
        "nestedWild=val1 wild=foo1": "none",
    },
}


@pytest.fixture(scope="module")
def suite() -> Path:
    """The suite's directory."""
    directory = os.environ.get("PDP_CONFORMANCE_DIR")
    if not directory:
        pytest.skip("PDP_CONFORMANCE_DIR is not set: it names a directory with `ratelimit/`")
    return Path(directory) / "ratelimit"


@contextmanager
def served(directory: Path, *files: Path, **options: Any) -> Iterator[str]:
    """The address of a decision point over the imported files."""
    imported = import_ratelimit(files, **options)
    texts = {one.source: one.text for one in imported.domains} | {"manifest.yaml": imported.manifest}
    for name, text in texts.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text, encoding="utf-8")
    assert validate(directory).diagnostics == ()
    local = "127.0.0.1:0"
    config = Config(
        policies=directory, listen=local, admin_listen=local, http_listen=local, threads=1, watch=False
    )
    with Server(config) as server:
        yield server.start().decision


def asked(*descriptors: str) -> dict[str, Any]:
    """A request about descriptors, each `key=value key=value`."""
    sets = [[entry.partition("=") for entry in one.split()] for one in descriptors]
    entries = [[{"key": key, "value": value} for key, _, value in one] for one in sets]
    return {"domain": "test-domain", "descriptors": [{"entries": one} for one in entries]}


def told(status: dict[str, Any]) -> str:
    """A status in the words of `ANSWERS`."""
    assert status["code"] == "OK"
    limit = status.get("current_limit")
    if limit is None:
        return "unlimited" if status.get("limit_remaining") == 2**32 - 1 else "none"
    return f"{limit['requests_per_unit']}/{limit['unit']}"


def test_every_file_of_the_suite_has_its_expectation(suite: Path) -> None:
    """Nothing is left out, here or there."""
    assert {file.stem for file in suite.glob("*.yaml")} == LOADED | set(REFUSED)
    assert set(ANSWERS) == LOADED


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_file_is_refused_with_its_path(suite: Path, name: str) -> None:
    """The first fault names what the file is called after."""
    with pytest.raises(PolicySetError) as caught:
        import_ratelimit([suite / f"{name}.yaml"])
    assert REFUSED[name] in str(caught.value.diagnostics[0])


def test_domain_that_is_there_already_is_refused(suite: Path) -> None:
    """As upstream does, which loads the file alone."""
    with pytest.raises(PolicySetError, match=r"duplicate_domain\.yaml:1:1: ratelimit_duplicate_domain"):
        import_ratelimit([suite / "basic_config.yaml", suite / "duplicate_domain.yaml"])


@pytest.mark.parametrize("algorithm", ["fixed_window", "sliding_window", "gcra"])
@pytest.mark.parametrize("name", sorted(LOADED))
def test_file_limits_what_it_limits_upstream(
    suite: Path, tmp_path: Path, rate_limit_service: Any, name: str, algorithm: str
) -> None:
    """All requests in one call, whose statuses come in their order."""
    with served(tmp_path, suite / f"{name}.yaml", algorithm=algorithm) as address:
        answer = rate_limit_service.ask(address, asked(*ANSWERS[name]))
    found = dict(zip(ANSWERS[name], map(told, answer["statuses"]), strict=True))
    assert found == {entries: limit.split()[0] for entries, limit in ANSWERS[name].items()}
    assert answer["overall_code"] == "OK"
    named = {
        entries: status["current_limit"]["name"]
        for (entries, limit), status in zip(ANSWERS[name].items(), answer["statuses"], strict=True)
        if " " in limit
    }
    assert named == {entries: limit.split()[1] for entries, limit in ANSWERS[name].items() if " " in limit}


def test_merged_files_answer_together(suite: Path, tmp_path: Path, rate_limit_service: Any) -> None:
    """Upstream's second file is merged into the first."""
    files = [suite / "merge_domain_key1.yaml", suite / "merge_domain_key2.yaml"]
    with served(tmp_path, *files, merge_domains=True) as address:
        answer = rate_limit_service.ask(address, asked("key1=value1", "key2=value2"))
    assert [told(one) for one in answer["statuses"]] == ["10/MINUTE", "20/MINUTE"]


def test_threshold_is_shared_where_the_file_says_so(
    suite: Path, tmp_path: Path, rate_limit_service: Any
) -> None:
    """Of two wildcards in one descriptor the one that shares does, and the other does not."""
    # Counted in a sliding window, which no minute that turns meanwhile empties.
    with served(tmp_path, suite / "share_threshold.yaml", algorithm="sliding_window") as address:

        def left(entries: str) -> int:
            (status,) = rate_limit_service.ask(address, asked(entries))["statuses"]
            return int(status["limit_remaining"])

        requests = [
            "files=files/a",
            "files=files/b",
            "path=path/a file=file/a type=x",
            "path=path/b file=file/a type=x",
            "path=path/b file=file/b type=x",
        ]
        found = [left(one) for one in requests]
    assert found == [99, 98, 119, 118, 119]


def test_shadowed_limit_never_refuses(suite: Path, tmp_path: Path, rate_limit_service: Any) -> None:
    """Its like without shadow does."""
    with served(tmp_path, suite / "shadowmode_config.yaml") as address:
        shadowed = rate_limit_service.ask(address, asked("key2=x") | {"hits_addend": 21})
        enforced = rate_limit_service.ask(address, asked("key2=value2") | {"hits_addend": 31})
    assert (shadowed["overall_code"], enforced["overall_code"]) == ("OK", "OVER_LIMIT")
