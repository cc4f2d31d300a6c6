"""Draws bar charts as SVG, readable on light and on dark pages."""

from __future__ import annotations

from html import escape

ROW = 26
LEFT = 380
WIDTH = 900
BAR = 14
TOP = 44

STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#57606a}.title{font-size:15px;font-weight:600}"
    ".own{fill:#2f81f7}.peer{fill:#8b949e}"
)


def bar_chart(title: str, bars: list[tuple[str, float]]) -> str:
    """A horizontal bar chart; bars labelled `...: pdp...` stand out from the peers'."""
    height = TOP + ROW * max(len(bars), 1) + 10
    most = max((value for _, value in bars), default=1.0)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        f'<text class="title" x="10" y="24">{escape(title)}</text>',
    ]
    for index, (label, value) in enumerate(bars):
        top = TOP + index * ROW
        length = max(1.0, value / most * (WIDTH - LEFT - 90))
        kind = "own" if ": pdp" in label else "peer"
        out.append(f'<text x="{LEFT - 8}" y="{top + 12}" text-anchor="end">{escape(label)}</text>')
        out.append(f'<rect class="{kind}" x="{LEFT}" y="{top}" width="{length:.1f}" height="{BAR}" rx="2"/>')
        shown = f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"  # noqa: PLR2004 - significant digits
        out.append(f'<text x="{LEFT + length + 6:.1f}" y="{top + 12}">{shown}</text>')
    out.append("</svg>")
    return "\n".join(out) + "\n"
