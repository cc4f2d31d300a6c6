"""The documentation's links lead somewhere, and its examples do what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from pdp import CheckRequest, Device, Engine, Question, ReasonCode, Resource, Subject
from pdp.policy import run_tests, validate

if TYPE_CHECKING:
    from pdp.engine import Addresses

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
# Written by a run of the benchmarks.
GENERATED = frozenset({ROOT / "docs" / "performance.md"})
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page: Path, language: str) -> list[str]:
    """The page's code blocks in a language."""
    return [text for name, text in BLOCK.findall(page.read_text(encoding="utf-8")) if name == language]


def example_name(page: Path) -> str:
    """The page, as tests are named."""
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=example_name)
def test_links_lead_to_files(page: Path) -> None:
    """Relative links name files that are there."""
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link]
    missing = [
        link
        for link in links
        if not (page.parent / link).exists() and (page.parent / link).resolve() not in GENERATED
    ]
    assert missing == []


def test_readme_is_at_most_150_lines() -> None:
    """A reader gets through it."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


PYTHON = [(page, at) for page in PAGES for at in range(len(blocks(page, "python")))]


@pytest.mark.parametrize(("page", "at"), PYTHON, ids=[f"{example_name(page)}-{at}" for page, at in PYTHON])
def test_python_examples_run(page: Path, at: int, pdp_server: Addresses) -> None:
    """Each example runs as it stands, against a server of the sample estate."""
    code = blocks(page, "python")[at].replace("127.0.0.1:7070", pdp_server.decision)
    code = code.replace("127.0.0.1:7071", pdp_server.admin or "")
    exec(compile(code, f"{page.name}[{at}]", "exec"), {})  # noqa: S102 - our own documentation


def test_policy_of_get_started_does_what_it_says(tmp_path: Path) -> None:
    """The set builds, its tests pass, and a missing device is named."""
    page = ROOT / "docs" / "get-started.md"
    (manifest,) = blocks(page, "yaml")
    policy, tests = blocks(page, "rego")
    for name, text in (("manifest.yaml", manifest), ("notes.rego", policy), ("notes_test.rego", tests)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert validate(tmp_path).diagnostics == ()
    report = run_tests(tmp_path, [])
    assert (len(report.results), report.failed) == (2, ())
    engine = Engine(tmp_path)

    def ask(device: Device | None) -> Any:
        request = CheckRequest(
            questions=(Question.ACCESS,),
            action="read",
            subject=Subject(id="ada"),
            resource=Resource(id="/notes/1", owner="ada"),
            device=device,
        )
        return engine.check(request)

    assert ask(Device(managed=True)).allowed
    assert [one.code for one in ask(None).reasons] == [ReasonCode.FACT_MISSING]


def test_readme_shows_the_policy_that_is_shipped() -> None:
    """The policy and its entry are those of the sample estate, without its annotations."""
    (shown,) = blocks(ROOT / "README.md", "rego")
    source = (ROOT / "policies/rego/media/transcoder_callers/policy.rego").read_text(encoding="utf-8")
    bare = re.sub(r"\n\n\n+", "\n\n", re.sub(r"^#.*\n", "", source, flags=re.MULTILINE)).lstrip()
    assert shown == bare
    (entry,) = yaml.safe_load(blocks(ROOT / "README.md", "yaml")[0])
    manifest = yaml.safe_load((ROOT / "policies/manifest.yaml").read_text(encoding="utf-8"))
    (shipped,) = [one for one in manifest["policies"] if one["id"] == entry["id"]]
    assert entry.items() <= shipped.items()


def test_envoy_guide_shows_limits_that_build_and_the_filter_that_is_deployed(tmp_path: Path) -> None:
    """What a reader copies is what a real Envoy runs with in another test."""
    limits, shown = blocks(ROOT / "docs/guides/envoy-rate-limits.md", "yaml")
    entry = "{id: edge, kind: rate_limit, engine: limits, source: edge.yaml}"
    (tmp_path / "manifest.yaml").write_text(f"version: 1\npolicies: [{entry}]\n", encoding="utf-8")
    (tmp_path / "edge.yaml").write_text(limits, encoding="utf-8")
    assert validate(tmp_path).diagnostics == ()
    deployed = yaml.safe_load((ROOT / "deploy/envoy/rate-limit.yaml").read_text(encoding="utf-8"))
    manager = deployed["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]
    (in_use, _) = manager["typed_config"]["http_filters"]
    (filtered,) = yaml.safe_load(shown)
    assert filtered["name"] == in_use["name"]
    assert filtered["typed_config"].items() <= in_use["typed_config"].items()
