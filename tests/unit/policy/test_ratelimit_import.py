"""Files of envoyproxy/ratelimit become limit lists that say the same, or are refused with place and fix."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pdp.cli import ExitCode, main
from pdp.errors import PolicySetError
from pdp.policy import RateLimitImport, import_ratelimit
from pdp.policy._ratelimit_config import ConfigReader, Descriptor

MINUTE = "rate_limit: {unit: minute, requests_per_unit: 5}"


def write(directory: Path, text: str, name: str = "config.yaml") -> Path:
    """A configuration file."""
    file = directory / name
    file.write_text(text, encoding="utf-8")
    return file


def bring(directory: Path, text: str, **options: Any) -> RateLimitImport:
    """What importing one file comes to."""
    return import_ratelimit([write(directory, text)], **options)


def limits(imported: RateLimitImport) -> dict[str, dict[str, Any]]:
    """Limits of the only domain, by name."""
    (domain,) = imported.domains
    document = yaml.safe_load(domain.text)
    assert set(document) == {"domain", "limits"}
    assert len(document["limits"]) == domain.limits
    return {one["name"]: one for one in document["limits"]}


def faults(directory: Path, text: str) -> list[str]:
    """What is said of a file that cannot be imported, without its directory."""
    with pytest.raises(PolicySetError) as caught:
        bring(directory, text)
    return [str(one).removeprefix(f"{directory}/") for one in caught.value.diagnostics]


def test_what_a_limit_says_is_kept(tmp_path: Path) -> None:
    """Keys, values, wildcards, rates, names, flags and replacements arrive in our words."""
    text = """
domain: edge
descriptors:
  - key: tier
    value: gold*
    shadow_mode: true
    detailed_metric: true
    share_threshold: true
    metadata: {team: "a\\nb"}
    rate_limit: {unit: Week, requests_per_unit: 70, name: gold}
  - key: user
    descriptors:
      - key: path
        value: /login
        rate_limit: {unit: month, requests_per_unit: 9, replaces: [{name: gold}]}
      - key: path
        value: /free
        rate_limit: {unlimited: true}
"""
    found = limits(bring(tmp_path, text, algorithm="sliding_window"))
    assert list(found.values()) == [
        {
            "name": "gold",
            "descriptor": [{"key": "tier", "value": "gold*", "share_threshold": True}],
            "algorithm": "sliding_window",
            "limit": 70,
            "window": "7d",
            "shadow": True,
            "detailed_metric": True,
        },
        {
            "name": "user.path_/login",
            "descriptor": [{"key": "user"}, {"key": "path", "value": "/login"}],
            "algorithm": "sliding_window",
            "limit": 9,
            "window": "30d",
            "replaces": ["gold"],
        },
        {
            "name": "user.path_/free",
            "descriptor": [{"key": "user"}, {"key": "path", "value": "/free"}],
            "unlimited": True,
        },
    ]


def test_metadata_is_a_comment_that_cannot_become_a_key(tmp_path: Path) -> None:
    """Line breaks of any kind stay inside of the comment."""
    value = '"x\\nlimits: []\\u0085evil: 1\\u2028evil: 2"'
    text = f"domain: d\ndescriptors:\n  - key: k\n    {MINUTE}\n    metadata: {{note: {value}}}\n"
    (domain,) = bring(tmp_path, text).domains
    assert "# metadata:" in domain.text
    assert set(yaml.safe_load(domain.text)) == {"domain", "limits"}


@pytest.mark.parametrize(
    ("unit", "window"),
    [("second", "1s"), ("MINUTE", "1m"), ("hour", "1h"), ("day", "1d"), ("week", "7d"), ("year", "365d")],
)
def test_units_are_those_of_the_other_service(tmp_path: Path, unit: str, window: str) -> None:
    """A year is 365 days there, so it is here."""
    text = f"domain: d\ndescriptors: [{{key: k, rate_limit: {{unit: {unit}, requests_per_unit: 1}}}}]"
    assert limits(bring(tmp_path, text))["k"]["window"] == window


def test_manifest_serves_each_domain_by_an_id_of_its_own(tmp_path: Path) -> None:
    """Domains whose names differ in signs only do not share a file."""
    texts = [f"domain: {name}\ndescriptors: [{{key: k, {MINUTE}}}]" for name in ("a b", "a/b", '"\u00e9"')]
    files = [write(tmp_path, text, f"{at}.yaml") for at, text in enumerate(texts)]
    imported = import_ratelimit(files)
    entries = yaml.safe_load(imported.manifest)["policies"]
    assert [one["id"] for one in entries] == ["ratelimit.a-b", "ratelimit.a-b-2", "ratelimit.domain"]
    assert [one["source"] for one in entries] == [one.source for one in imported.domains]
    assert {one["kind"] for one in entries} == {"rate_limit"}


REFUSED = {
    "unknown_key": (
        "domain: d\ndescriptors:\n  - key: k\n    ratelimit: {}\n",
        (
            "config.yaml:4:5: ratelimit_unknown_key: `descriptors[0].ratelimit`: unknown key: "
            "did you mean `rate_limit`?"
        ),
    ),
    "misplaced_key": (
        (
            "domain: d\ndescriptors:\n  - key: k\n    rate_limit: {unit: day, requests_per_unit: 1, "
            "shadow_mode: true}\n"
        ),
        (
            "config.yaml:4:51: ratelimit_unknown_key: `descriptors[0].rate_limit.shadow_mode`: does "
            "not belong "
            "here but in a descriptor"
        ),
    ),
    "unit": (
        (
            "domain: d\ndescriptors:\n  - key: k\n    descriptors:\n      - key: l\n      - key: m\n"
            "        rate_limit: {unit: eon, requests_per_unit: 1}\n"
        ),
        (
            "config.yaml:7:28: ratelimit_unit: `descriptors[0].descriptors[1].rate_limit.unit`: "
            "`eon` is no unit: "
            "write one of second, minute, hour, day, week, month, year"
        ),
    ),
    "same_match": (
        "domain: d\ndescriptors:\n  - {key: k, value: v}\n  - {key: k, value: v}\n",
        (
            "config.yaml:4:5: ratelimit_duplicate_key: `descriptors[1]`: repeats descriptors[0], "
            "`k` with the "
            "value `v`: remove one of the two"
        ),
    ),
    "yaml_key_twice": (
        f"domain: d\ndescriptors:\n  - key: k\n    key: l\n    {MINUTE}\n",
        (
            "config.yaml:4:5: ratelimit_duplicate_key: `descriptors[0].key`: is written twice: "
            "remove one of the two"
        ),
    ),
    "unlimited_with_unit": (
        "domain: d\ndescriptors:\n  - key: k\n    rate_limit: {unlimited: true, unit: day}\n",
        (
            "config.yaml:4:41: ratelimit_unlimited: `descriptors[0].rate_limit.unit`: contradicts "
            "`unlimited`: "
            "remove one of the two"
        ),
    ),
    "requests_too_many": (
        "domain: d\ndescriptors:\n  - key: k\n    rate_limit: {unit: day, requests_per_unit: 4294967296}\n",
        (
            "config.yaml:4:48: ratelimit_requests: `descriptors[0].rate_limit.requests_per_unit`: "
            "`4294967296` "
            "is no whole number from 0 to 4294967295"
        ),
    ),
    "requests_negative": (
        "domain: d\ndescriptors:\n  - key: k\n    rate_limit: {unit: day, requests_per_unit: -1}\n",
        (
            "config.yaml:4:48: ratelimit_requests: `descriptors[0].rate_limit.requests_per_unit`: `-1` "
            "is no whole number from 0 to 4294967295"
        ),
    ),
    "share_without_wildcard": (
        f"domain: d\ndescriptors:\n  - key: k\n    value: v\n    share_threshold: true\n    {MINUTE}\n",
        (
            "config.yaml:5:22: ratelimit_share_threshold: `descriptors[0].share_threshold`: wants a "
            "wildcard to "
            "share: write a `value` with `*`, or remove it"
        ),
    ),
    "flag": (
        f"domain: d\ndescriptors:\n  - key: k\n    shadow_mode: 1\n    {MINUTE}\n",
        "config.yaml:4:18: ratelimit_form: `descriptors[0].shadow_mode`: `1` is neither true nor false",
    ),
    "nothing": ("", "config.yaml: ratelimit_empty: is empty: write `domain` and `descriptors`"),
    "no_descriptor": (
        "domain: d\n",
        "config.yaml:1:1: ratelimit_empty: `descriptors`: is empty: there is nothing to import",
    ),
    "wildcard_in_key": (
        f"domain: d\ndescriptors:\n  - key: k*\n    {MINUTE}\n",
        (
            "config.yaml:3:10: ratelimit_wildcard: `descriptors[0].key`: holds `*`: a wildcard belongs "
            "into `value`"
        ),
    ),
}


@pytest.mark.parametrize(("text", "fault"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_imported_is_named_with_place_path_and_fix(
    tmp_path: Path, text: str, fault: str
) -> None:
    """One line says where to look and what to write."""
    assert faults(tmp_path, text)[:1] == [fault]


def test_quota_mode_is_refused_with_what_to_write_instead(tmp_path: Path) -> None:
    """It refuses by another rule, which must not be lost in silence."""
    text = f"domain: d\ndescriptors: [{{key: k, quota_mode: true, {MINUTE}}}]"
    (fault,) = faults(tmp_path, text)
    assert "`descriptors[0].quota_mode`" in fault
    assert "shadow_mode: true" in fault
    assert limits(bring(tmp_path, text.replace("true", "false")))


def test_one_run_names_every_fault(tmp_path: Path) -> None:
    """Nobody mends a file one fault a run."""
    text = "domain: d\ndescriptors: [{value: v}, {key: k, shadow_mode: perhaps}, {key: l, valu: 1}, 7]"
    assert len(faults(tmp_path, text)) == 4


def test_domain_of_another_file_is_refused_unless_merged(tmp_path: Path) -> None:
    """Merged files may not repeat each other's descriptors either."""
    first = write(tmp_path, f"domain: d\ndescriptors: [{{key: k, {MINUTE}}}]", "first.yaml")
    second = write(tmp_path, f"domain: d\ndescriptors: [{{key: l, {MINUTE}}}]", "second.yaml")
    with pytest.raises(PolicySetError, match=r"second\.yaml:1:1.*--merge-domains"):
        import_ratelimit([first, second])
    assert set(limits(import_ratelimit([first, second], merge_domains=True))) == {"k", "l"}
    with pytest.raises(PolicySetError, match=r"repeats the descriptor `k`"):
        import_ratelimit([first, write(tmp_path, first.read_text(), "third.yaml")], merge_domains=True)


def test_anchors_and_merged_keys_are_read_as_yaml_has_them(tmp_path: Path) -> None:
    """What is written wins over what is merged."""
    text = f"""
domain: d
descriptors:
  - &base {{key: a, shadow_mode: true, {MINUTE}}}
  - {{<<: *base, key: b, shadow_mode: false}}
"""
    found = limits(bring(tmp_path, text))
    assert (found["a"].get("shadow"), found["b"].get("shadow")) == (True, None)
    assert found["b"]["limit"] == 5


def test_hostile_file_ends_in_a_fault_soon(tmp_path: Path) -> None:
    """Neither depth, nor size, nor aliases of aliases, nor an alias of itself hangs or crashes an import."""
    deep = "domain: d\ndescriptors: " + "[{key: k, descriptors: " * 3_000 + "[]" + "}]" * 3_000
    assert "levels deep" in faults(tmp_path, deep)[0]
    own = "domain: d\ndescriptors: &a [{key: k, descriptors: *a}]"
    assert "levels deep" in faults(tmp_path, own)[0]
    bomb = "domain: d\ndescriptors:\n  - key: k\n    metadata:\n      a0: &a0 [x, x]\n"
    bomb += "".join(f"      a{at}: &a{at} [*a{at - 1}, *a{at - 1}]\n" for at in range(1, 30))
    assert "cannot be kept" in faults(tmp_path, bomb)[0]
    wide = "domain: d\ndescriptors:\n  - &b0 {key: k0}\n"
    wide += "".join(
        f"  - &b{at} {{key: k{at}, descriptors: [*b{at - 1}, {{<<: *b{at - 1}, key: x}}]}}\n"
        for at in range(1, 25)
    )
    assert any("more than" in one for one in faults(tmp_path, wide))
    file = tmp_path / "large.yaml"
    file.write_bytes(b"#" * ((4 << 20) + 1))
    with pytest.raises(PolicySetError, match="at most 4194304 are read"):
        import_ratelimit([file])


DEPTH = 2
# A small alphabet, so that what is asked often meets what is configured.
VALUES = ("", "a", "ab", "a*", "*b", "b", "*")


def level(depth: int) -> st.SearchStrategy[list[dict[str, Any]]]:
    """A level of a configuration, with levels below it."""
    limit = st.sampled_from((None, {"unlimited": True}, {"unit": "day", "requests_per_unit": 1}))
    below = level(depth - 1) if depth else st.just([])
    node = st.fixed_dictionaries({"rate_limit": limit, "descriptors": below})
    matchers = st.tuples(st.sampled_from("kkl"), st.sampled_from(VALUES))
    nodes = st.dictionaries(matchers, node, min_size=1 if depth == DEPTH else 0, max_size=4)
    return nodes.map(lambda found: [{"key": k, "value": v, **node} for (k, v), node in found.items()])


ENTRIES = st.lists(
    st.tuples(st.sampled_from(("k", "l")), st.sampled_from(("a", "ab", "b", "cb"))), min_size=1, max_size=4
)


def matches(pattern: str, value: str) -> bool:
    """Whether a value matches a pattern."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), value) is not None


def walked(nodes: tuple[Descriptor, ...], entries: list[tuple[str, str]]) -> list[str] | None:
    """The keys and values that envoyproxy/ratelimit limits a request by, None for no limit (`GetLimit`)."""
    (key, value), *rest = entries
    beside = [node for node in nodes if node.key == key]
    exact = [node for node in beside if node.value == value]
    wild = [node for node in beside if "*" in node.value and matches(node.value, value)]
    bare = [node for node in beside if not node.value]
    for node in (exact + wild + bare)[:1]:
        name = f"{node.key}_{node.value}" if node.value else node.key
        if rest:
            below = walked(node.children, rest)
            return None if below is None else [name, *below]
        return None if node.limit is None or node.limit.unlimited else [name]
    return None


def specific(entry: dict[str, Any]) -> tuple[int, ...]:
    """Where an entry is tried: a value, then wildcards, the longest beginning first, then any value."""
    value = entry.get("value")
    if value is None:
        return (2,)
    return (1, -value.index("*"), -len(value)) if "*" in value else (0,)


def listed(found: list[dict[str, Any]], entries: list[tuple[str, str]], at: int = 0) -> list[str] | None:
    """The keys and values of the limit of a list that a request comes to, None for no limit."""
    if at == len(entries):
        ends = [one for one in found if len(one["descriptor"]) == at and "unlimited" not in one]
        return [
            f"{one['key']}_{one['value']}" if "value" in one else one["key"]
            for limit in ends
            for one in limit["descriptor"]
        ] or None
    key, value = entries[at]
    steps = [one["descriptor"][at] for one in found if len(one["descriptor"]) > at]
    steps = [one for one in steps if one["key"] == key and matches(one.get("value", "*"), value)]
    if not steps:
        return None
    step = min(steps, key=specific)
    taken = [one for one in found if one["descriptor"][at : at + 1] == [step]]
    return listed(taken, entries, at + 1)


@settings(max_examples=100, deadline=None)
@given(level(DEPTH), st.lists(ENTRIES, min_size=1, max_size=8))
def test_limit_that_a_request_comes_to_is_the_same_before_and_after(
    tmp_path_factory: pytest.TempPathFactory,
    nodes: list[dict[str, Any]],
    asked: list[list[tuple[str, str]]],
) -> None:
    """What limited a request before the import limits it after, and nothing else does."""
    file = write(tmp_path_factory.getbasetemp(), yaml.safe_dump({"domain": "d", "descriptors": nodes}))
    domain = ConfigReader("config.yaml").read(file)
    assert domain is not None
    try:
        found = list(limits(import_ratelimit([file])).values())
    except PolicySetError as refused:
        assert {one.code for one in refused.diagnostics} == {"ratelimit_wildcard_order"}  # noqa: PT017
        return
    for entries in asked:
        assert listed(found, entries) == walked(domain.descriptors, entries), entries


def test_wildcards_that_would_be_tried_in_another_order_are_refused(tmp_path: Path) -> None:
    """The first that is written wins there, the longest beginning here."""
    lines = ["domain: d", "descriptors:"]
    lines += [f"  - {{key: k, value: {value}, {MINUTE}}}" for value in ("a*", "ab*")]
    text = "\n".join(lines)
    assert faults(tmp_path, text) == [
        (
            "config.yaml:4:1: ratelimit_wildcard_order: `descriptors[1].value`: `ab*` would be tried before "
            "`a*` (descriptors[0]), since its beginning is longer: write it first, or remove it"
        )
    ]
    assert len(limits(bring(tmp_path, "\n".join([*lines[:2], lines[3], lines[2]])))) == 2
    assert len(limits(bring(tmp_path, text.replace("ab*", "b*")))) == 2


def test_zero_requests_admit_nothing(tmp_path: Path) -> None:
    """A limit of none is one that each request exceeds."""
    text = "domain: d\ndescriptors: [{key: k, rate_limit: {unit: day, requests_per_unit: 0}}]"
    found = limits(bring(tmp_path, text))["k"]
    assert (found["limit"], found["cost"]) == (1, "2")


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Exit code of the command."""
    monkeypatch.setattr("sys.argv", ["pdp", "limits", "import", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


def test_command_writes_a_policy_set_and_overwrites_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second run into the same directory is refused before it writes."""
    file = write(tmp_path, f"domain: d\ndescriptors: [{{key: k, value_to_metric: true, {MINUTE}}}]")
    out = tmp_path / "out"
    assert run(monkeypatch, str(file), "--out", str(out), "--algorithm", "gcra") == ExitCode.OK
    assert yaml.safe_load((out / "limits/d.yaml").read_text())["limits"][0]["algorithm"] == "gcra"
    assert (out / "manifest.yaml").is_file()
    captured = capsys.readouterr()
    assert "1 limits of the domain d" in captured.out
    assert "`descriptors[0].value_to_metric`" in captured.err
    before = (out / "limits/d.yaml").read_bytes()
    assert run(monkeypatch, str(file), "--out", str(out)) == ExitCode.CONFIG
    assert (out / "limits/d.yaml").read_bytes() == before


def test_command_prints_what_it_would_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a directory nothing is written; a faulty file is exit code 1 and nothing on standard output."""
    file = write(tmp_path, f"domain: d\ndescriptors: [{{key: k, value: ':warning:', {MINUTE}}}]")
    assert run(monkeypatch, str(file)) == ExitCode.OK
    limit_list, manifest = yaml.safe_load_all(
        capsys.readouterr().out.replace("# manifest", "---\n# manifest")
    )
    assert limit_list["limits"][0]["descriptor"] == [{"key": "k", "value": ":warning:"}]
    assert manifest["policies"][0]["engine"] == "limits"
    file.write_text("domain: d\ndescriptors: [{}]\n")
    assert run(monkeypatch, str(file)) == ExitCode.FAULTY
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "`descriptors[0].key`" in captured.err
