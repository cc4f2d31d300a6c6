"""Renders docs/performance.md and its plots from the results; nothing in them is typed."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import plots
import yaml

REPOSITORY = Path(__file__).resolve().parent.parent
BENCH = REPOSITORY / "bench"
RESULTS = BENCH / "results" / "latest.json"

NAMES = {
    "pdp": "pdp",
    "opa": "OPA",
    "cerbos": "Cerbos",
    "ratelimit": "envoyproxy/ratelimit",
    "empty": "empty handler",
}


def metric(results: dict[str, Any], address: str) -> float | None:
    """The number at `scenario/run.metric`, or None where that was not run."""
    place, _, name = address.rpartition(".")
    scenario, _, run = place.partition("/")
    if scenario == "in_process":
        return ((results.get("in_process") or {}).get(run) or {}).get(name)
    found = results["scenarios"].get(scenario, {}).get("runs", {}).get(run)
    if found is None:
        return None
    latency = found["report"]["latency_us"]
    return {
        "rps": found["report"]["decisions_per_second"],
        "cpu": found["server_us_per_decision"],
        "rss": found["resident_mib"],
        **latency,
    }[name]


def number(value: float) -> str:
    """Three significant digits, thousands separated."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2  # noqa: PLR2004 - significant digits
    return f"{value:,.{digits}f}"


def fill(results: dict[str, Any], text: str) -> str:
    """Replaces each `{scenario/run.metric}` in a text by its number."""

    def replace(match: re.Match[str]) -> str:
        value = metric(results, match.group(1))
        return "?" if value is None else number(value)

    return re.sub(r"\{([^}]+)\}", replace, text)


def label(run: dict[str, Any]) -> str:
    """What a run was, from its settings."""
    parts = [NAMES[run["target"]]]
    estate = run.get("estate", {})
    parts += [f"{estate['policies']:,} policies"] if "policies" in estate else []
    parts += [f"{estate['asked']} of them asked"] if "asked" in estate else []
    parts += [f"{estate['keys']:,} key{'s' if estate['keys'] > 1 else ''}"] if "keys" in estate else []
    parts += [f"window of {estate['window']}"] if "window" in estate else []
    parts += [f"{estate['payload_bytes'] / 1024:.3g} KiB"] if "payload_bytes" in estate else []
    parts += [estate["algorithm"].replace("_", " ")] if "algorithm" in estate else []
    if run["target"] == "pdp" and "shared" in run:
        parts += ["leased" if estate.get("counting") == "leased" else "exact"]
    parts += ["CheckStream"] if run.get("call") == "check_stream" else []
    parts += [f"CheckBatch of {run['batch']}"] if "batch" in run else []
    parts += ["decision logs"] if run.get("decision_logs") else []
    parts += ["read-optimised store"] if run.get("read_optimised") else []
    parts += [f"{run['threads']} thread{'s' if run['threads'] > 1 else ''}"] if "threads" in run else []
    parts += [f"at half of {run['half_of']}'s rate"] if run.get("half_of") else []
    parts += [f"at {run['rate']:,} a second"] if "rate" in run else []
    return ", ".join(parts)


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; the first column is text, the others numbers."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def budget_rows(results: dict[str, Any], budgets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each budget that was measured, with its value and whether it was met."""
    rows = []
    for budget in budgets:
        value = metric(results, budget["value"])
        if value is None:
            continue
        for key in ("over", "less"):
            if key in budget:
                other = metric(results, budget[key])
                value = None if other is None else value / other if key == "over" else value - other
                break
        if value is None:
            continue
        met = value >= budget["at_least"] if "at_least" in budget else value <= budget["at_most"]
        rows.append({**budget, "result": value, "met": met})
    return rows


def render_budgets(rows: list[dict[str, Any]]) -> str:
    """The table of budgets."""
    cells = []
    for row in rows:
        sign, bound = ("≥", row["at_least"]) if "at_least" in row else ("≤", row["at_most"])
        result = f"{number(row['result'])} {row['unit']}"
        verdict = "met" if row["met"] else "**missed**"
        cells.append([row["what"], f"{sign} {bound:,} {row['unit']}", result, verdict])
    return table(["budget", "bound", "result", ""], cells)


def render_scenario(name: str, scenario: dict[str, Any]) -> str:
    """One scenario's table."""
    rows = []
    for run in scenario["runs"].values():
        report = run["report"]
        latency = report["latency_us"]
        foreign = run["foreign_core_share"]
        disturbed = "-" if foreign is None else f"{foreign:.0%}"
        worst, best = min(run["rounds"]), max(run["rounds"])
        rows.append(
            [
                label(run),
                f"{report['decisions_per_second']:,.0f}",
                *(f"{latency[key]:,.0f}" for key in ("p50", "p90", "p99", "p999")),
                number(run["server_us_per_decision"]),
                f"{run['resident_mib']:,.0f}",
                f"{1 - worst / best:.0%}",
                disturbed,
            ]
        )
    head = [
        "",
        "decisions/s",
        "p50 µs",
        "p90 µs",
        "p99 µs",
        "p99.9 µs",
        "CPU µs",
        "MiB",
        "spread",
        "disturbed",
    ]
    when = ""
    if "commit" in scenario:
        when = f"; {scenario['date']}, commit `{scenario['commit'][:12]}`, {scenario['cpu']}"
    command = f"(`bench/run.py {name}`{when})"
    text = f"### {scenario['title']}\n\n{scenario['about']}\n{command}\n\n{table(head, rows)}"
    return text + "".join(map(stored, scenario["runs"].values()))


def stored(run: dict[str, Any]) -> str:
    """What the run's Valkey held, where it had one of its own to count in."""
    if run["target"] != "pdp" or "store_keys" not in run:
        return ""
    keys, size = run["store_keys"], run["store_bytes_per_key"]
    return f"\n{label(run)}: Valkey holds {keys:,} keys, {number(size)} bytes each.\n"


def render_profiles(results: dict[str, Any]) -> str:
    """Where the time goes, by part and by function."""
    out = []
    for name, profile in results.get("profiles", {}).items():
        parts = [[part, f"{share:.1f} %"] for part, share in profile["parts"].items()]
        symbols = [[f"`{symbol}`", f"{share:.1f} %"] for symbol, share in profile["symbols"].items()]
        out.append(
            f"### Profile of {name}\n\n"
            f"`{profile['command']}`, {profile['samples']:,} samples of the server's process.\n\n"
            f"{table(['part', 'share'], parts)}\n{table(['function', 'share'], symbols)}"
        )
    return "\n".join(out)


def render_in_process(embedded: dict[str, Any] | None) -> str:
    """The in-process table."""
    if not embedded:
        return ""
    rows = [[name, number(one["typed_us"]), number(one["bytes_us"])] for name, one in embedded.items()]
    return (
        "### In the process, from Python\n\n"
        "The questions of access-rego and access-cel through `pdp.Engine.check`, typed request to typed "
        "decision, and the core's share of it, bytes to bytes; one thread on core 0, mean of the fastest "
        "round over 512 questions.\n\n" + table(["policies", "typed µs", "bytes µs"], rows)
    )


def render(results: dict[str, Any], budgets: list[dict[str, Any]], method: str) -> str:
    """The whole page; `method` is a format string over the results."""
    rows = budget_rows(results, budgets)
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    measured = (
        f"Measured on {results['date']} at commit `{results['commit']}` ({results['tree']} tree) on "
        f"{results['cpu']}, {results['cores']} cores, {results['memory_gib']} GiB, {results['system']}; "
        f"{versions}."
    )
    missed = [
        f"- **{row['what']}**: {fill(results, row.get('cause', 'not explained yet'))}"
        for row in rows
        if not row["met"]
    ]
    sections = [
        "# Performance",
        "Generated by `bench/report.py` from `bench/results/latest.json`; do not edit.",
        measured,
        "## Budgets",
        render_budgets(rows),
        "![Decisions a second on one core](img/access.svg)",
        "![Microseconds of CPU per decision](img/cpu.svg)",
    ]
    if results["void"]:
        sections += [
            "## Void runs",
            table(["run", "why"], [[name, why] for name, why in results["void"].items()]),
        ]
    if missed:
        sections += ["## Missed budgets", "\n".join(missed)]
    if results.get("profiles"):
        sections += ["## Where the time goes", render_profiles(results)]
    sections += [method.format(**results), "## Results"]
    sections += [render_scenario(name, scenario) for name, scenario in results["scenarios"].items()]
    sections += ["![10 to 10,000 policies](img/policies.svg)", render_in_process(results.get("in_process"))]
    return "\n\n".join(section.strip() for section in sections if section) + "\n"


def bars(results: dict[str, Any], addresses: list[str], name: str) -> list[tuple[str, float]]:
    """Labelled values for a plot, of the runs that there are."""
    pairs = []
    for address in addresses:
        value = metric(results, f"{address}.{name}")
        if value is not None:
            scenario, _, run = address.partition("/")
            found = results["scenarios"][scenario]
            pairs.append((f"{found['title']}: {label(found['runs'][run])}", value))
    return pairs


SHOWN = [
    "access-rego/opa-logs",
    "access-rego/opa",
    "access-rego/cerbos",
    "access-rego/pdp",
    "access-rego/pdp-stream",
    "access-cel/pdp",
    "access-cel/pdp-stream",
    "access-memoised/pdp",
    "access-memoised/pdp-stream",
    "access-rego/empty",
]


README_COLUMNS = [
    "pdp",
    "pdp, streamed",
    "Cerbos",
    "OPA with decision logs",
    "envoyproxy/ratelimit",
    "empty handler",
]
README_ROWS = {
    "access by Rego": ("access-rego", ["pdp", "pdp-stream", "cerbos", "opa-logs", "", "empty"]),
    "access by CEL": ("access-cel", ["pdp", "pdp-stream", "cerbos", "", "", ""]),
    "access by Rego, memoised": ("access-memoised", ["pdp", "pdp-stream", "", "", "", "empty"]),
    "rate limit, 100,000 keys": (
        "rate-limit",
        ["pdp-100k", "pdp-100k-stream", "", "", "ratelimit-100k", "empty"],
    ),
}
README_TABLE = re.compile(r"(<!-- bench:table -->\n).*?(<!-- /bench:table -->)", re.DOTALL)


def render_readme(results: dict[str, Any], text: str) -> str:
    """The README with its table of decisions a second."""
    rows = []
    for title, (scenario, runs) in README_ROWS.items():
        values = [metric(results, f"{scenario}/{run}.rps") if run else None for run in runs]
        rows.append([title, *("" if value is None else number(value) for value in values)])
    rendered = table(["decisions a second, one core", *README_COLUMNS], rows)
    return README_TABLE.sub(lambda match: match[1] + rendered + match[2], text)


def main() -> int:
    """Writes the page and its plots, or compares them with what is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--check", action="store_true", help="fail where the written files differ")
    arguments = parser.parse_args()
    results = json.loads(arguments.results.read_text(encoding="utf-8"))
    budgets = yaml.safe_load((BENCH / "budgets.yaml").read_text(encoding="utf-8"))
    policies = [f"policies/{count}" for count in ("10", "1000", "10000")]
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    files = {
        "README.md": render_readme(results, readme),
        "docs/performance.md": render(results, budgets, (BENCH / "method.md").read_text(encoding="utf-8")),
        "docs/img/access.svg": plots.bar_chart("Decisions a second on one core", bars(results, SHOWN, "rps")),
        "docs/img/cpu.svg": plots.bar_chart(
            "Microseconds of the server's core per decision", bars(results, SHOWN, "cpu")
        ),
        "docs/img/policies.svg": plots.bar_chart(
            "Decisions a second by number of policies", bars(results, policies, "rps")
        ),
    }
    stale = []
    for name, text in files.items():
        path = REPOSITORY / name
        if arguments.check:
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                stale.append(name)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    if stale:
        print(f"not what the results render: {', '.join(stale)}; run bench/report.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
