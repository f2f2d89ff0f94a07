"""How is a figure drawn? Bars and lines as SVG: nothing is fetched, and it reads on a light page and on a dark one."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WIDTH: Final = 760
_LEFT: Final = 110  # of the bars: their labels stand before them
_ROOM: Final = 190  # for the figure behind the longest bar
_BAR: Final = 16
_STEP: Final = 22
_TITLE: Final = 30
_STYLE: Final = """\
  <style>
    text { font: 13px system-ui, sans-serif; fill: #1f2328; }
    .title { font-weight: 600; }
    .note { fill: #59636e; }
    .end { text-anchor: end; }
    .middle { text-anchor: middle; }
    .card { fill: #ffffff; stroke: #d1d9e0; }
    .other { fill: #afb8c1; }
    .ours { fill: #0969da; }
    .axis { stroke: #d1d9e0; }
    .other-line { stroke: #8c959f; fill: none; stroke-width: 2; }
    .ours-line { stroke: #0969da; fill: none; stroke-width: 2; }
    @media (prefers-color-scheme: dark) {
      text { fill: #f0f6fc; }
      .note { fill: #9198a1; }
      .card { fill: #0d1117; stroke: #3d444d; }
      .other { fill: #656c76; }
      .ours { fill: #4493f8; }
      .axis { stroke: #3d444d; }
      .other-line { stroke: #9198a1; }
      .ours-line { stroke: #4493f8; }
    }
  </style>"""


@dataclass(frozen=True)
class Bar:
    """One bar: whose, how long, and what stands behind it."""

    label: str
    value: float
    figure: str
    is_ours: bool = False


@dataclass(frozen=True)
class Panel:
    """Bars of one scale, under a title."""

    title: str
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Line:
    """Points of one line, and what stands at its end."""

    label: str
    points: Sequence[tuple[float, float]]
    is_ours: bool = False


def bars(title: str, panels: Sequence[Panel]) -> str:
    """Return a chart of panels below each other, each with a scale of its own that begins at nothing."""
    height, body = 16, list[str]()
    for panel in panels:
        body += _panel(panel, height)
        height += _TITLE + _STEP * len(panel.bars) + 12
    return _svg(title, height, body)


def _panel(panel: Panel, top: int) -> Iterator[str]:
    yield _text(16, top + 18, panel.title, "title")
    longest = max(bar.value for bar in panel.bars)
    for number, bar in enumerate(panel.bars):
        y = top + _TITLE + _STEP * number
        width = bar.value / longest * (WIDTH - _LEFT - _ROOM)
        yield _text(_LEFT - 8, y + 13, bar.label, "end")
        kind = "ours" if bar.is_ours else "other"
        yield f'  <rect class="{kind}" x="{_LEFT}" y="{y}" width="{max(width, 1):.1f}" height="{_BAR}" rx="2"/>'
        yield _text(_LEFT + max(width, 1) + 8, y + 13, bar.figure, "note")


def lines(title: str, panels: Sequence[tuple[str, str, Sequence[Line]]], across: str) -> str:
    """Return charts beside each other, both scales from nothing. A panel is its title, its unit and its lines."""
    width, top, bottom = WIDTH / len(panels), 56, 236
    body = []
    for number, (name, unit, drawn) in enumerate(panels):
        left, right = number * width + 24, (number + 1) * width - 106
        most_x = max(x for line in drawn for x, _ in line.points)
        most_y = max(y for line in drawn for _, y in line.points)
        body += [_text(left, 30, f"{name}, {unit}", "title"), *_axes(left, right, top, bottom)]
        for line in drawn:
            kind = "ours" if line.is_ours else "other"
            at = [
                (left + x / most_x * (right - left), bottom - y / most_y * (bottom - top - 8)) for x, y in line.points
            ]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
            body.append(f'  <polyline class="{kind}-line" points="{path}"/>')
            body += [f'  <circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in at]
            body.append(_text(at[-1][0] + 8, at[-1][1] + 4, f"{line.label} {line.points[-1][1]:,.0f}", "note"))
        marks = sorted({x for line in drawn for x, _ in line.points})
        body += [_text(left + x / most_x * (right - left), bottom + 18, f"{x:,.0f}", "note middle") for x in marks[1:]]
        body.append(_text((left + right) / 2, bottom + 38, across, "note middle"))
    return _svg(title, bottom + 52, body)


def _axes(left: float, right: float, top: float, bottom: float) -> Iterator[str]:
    yield f'  <path class="axis" fill="none" d="M{left:.1f} {top}V{bottom}H{right:.1f}"/>'


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'  <text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _svg(title: str, height: float, body: Sequence[str]) -> str:
    size = f'width="{WIDTH}" height="{height:.0f}" viewBox="0 0 {WIDTH} {height:.0f}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(title)}">',
            f"  <title>{escape(title)}</title>",
            _STYLE,
            f'  <rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1:.0f}" rx="6"/>',
            *body,
            "</svg>",
            "",
        ]
    )
