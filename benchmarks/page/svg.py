"""Small plots as SVG text: panels with axes, curves with bands, points, bars, and a legend.

Colours and lines are named by series, so that a strategy looks the same on every plot. The pictures bring their own
background and follow the reader's light or dark scheme.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

#: Size of a panel's plotting area, and what is left around it for ticks and titles.
WIDTH, HEIGHT = 232, 168
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 14, 28, 44
CELL_WIDTH, CELL_HEIGHT = WIDTH + _LEFT + _RIGHT, HEIGHT + _TOP + _BOTTOM

#: Series number -> colour on a light and on a dark ground (after Okabe and Ito, for colour-blind readers too).
_LIGHT = ("#0072b2", "#56b4e9", "#d55e00", "#cc79a7", "#009e73", "#8a6d00", "#666666", "#5e3c99")
_DARK = ("#4fb3f0", "#9ad4f5", "#ff8a3d", "#e6a5cb", "#3fd0a0", "#e0c04a", "#aaaaaa", "#b9a3f0")
#: Series number -> dashes of its line.
_DASHES = ("", "6 3", "", "6 3", "2 2", "8 2 2 2", "2 4", "4 2 1 2")


@dataclass(frozen=True, slots=True)
class Axis:
    """A scale from data to pixels.

    Attributes:
        low: smallest value shown.
        high: largest value shown.
        ticks: values that are marked, with what is written there.
        title: what the axis shows.
        is_log: whether equal ratios are equally long.
    """

    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    title: str
    is_log: bool = False

    def share(self, value: float) -> float:
        """Where a value lies, 0 = `low`, 1 = `high`; what is outside is put on the edge.

        >>> Axis(1.0, 100.0, (), "", is_log=True).share(10.0), Axis(0.0, 4.0, (), "").share(9.0)
        (0.5, 1.0)
        """
        low, high, at = (math.log(max(v, 1e-12)) if self.is_log else v for v in (self.low, self.high, value))
        return min(max((at - low) / (high - low), 0.0), 1.0)


@dataclass
class Panel:
    """One plot with its own axes.

    Attributes:
        title: above it.
        x: horizontal axis.
        y: vertical axis.
        parts: SVG elements inside, in panel coordinates.
    """

    title: str
    x: Axis
    y: Axis
    parts: list[str] = field(default_factory=list)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Pixels of a point."""
        return _LEFT + WIDTH * self.x.share(x), _TOP + HEIGHT * (1.0 - self.y.share(y))

    def line(self, series: int, xs: Sequence[float], ys: Sequence[float], *, is_step: bool = False) -> None:
        """A curve; as steps, a value holds until the next one."""
        points = [self.at(x, y) for x, y in zip(xs, ys, strict=True)]
        if is_step:
            points = [p for (x0, y0), (x1, y1) in pairwise(points) for p in ((x0, y0), (x1, y0), (x1, y1))]
        dash = f' stroke-dasharray="{_DASHES[series]}"' if _DASHES[series] else ""
        self.parts.append(f'<polyline class="line s{series}" points="{_listed(points)}"{dash}/>')

    def band(self, series: int, xs: Sequence[float], low: Sequence[float], high: Sequence[float]) -> None:
        """What lies between two curves."""
        there = [self.at(x, y) for x, y in zip(xs, low, strict=True)]
        back = [self.at(x, y) for x, y in zip(xs, high, strict=True)][::-1]
        self.parts.append(f'<polygon class="band s{series}" points="{_listed([*there, *back])}"/>')

    def dots(self, series: int, xs: Sequence[float], ys: Sequence[float]) -> None:
        """Points."""
        for x, y in zip(xs, ys, strict=True):
            px, py = self.at(x, y)
            self.parts.append(f'<circle class="dot s{series}" cx="{px:.1f}" cy="{py:.1f}" r="2.6"/>')

    def bar(self, series: int, left: float, right: float, top: float, label: str) -> None:
        """A bar from the bottom of the panel between two horizontal positions, with its value above."""
        (x0, y0), (x1, y1) = self.at(left, top), self.at(right, self.y.low)
        self.parts.append(
            f'<rect class="bar s{series}" x="{x0:.1f}" y="{y0:.1f}" width="{x1 - x0:.1f}" height="{y1 - y0:.1f}"/>'
            f'<text class="small" x="{(x0 + x1) / 2:.1f}" y="{y0 - 3:.1f}" text-anchor="middle">{escape(label)}</text>'
        )

    def drawn(self) -> str:
        """The panel with frame, ticks and titles."""
        frame = []
        bottom, right = _TOP + HEIGHT, _LEFT + WIDTH
        for value, label in self.x.ticks:
            px, _ = self.at(value, self.y.low)
            frame.append(f'<line class="grid" x1="{px:.1f}" y1="{_TOP}" x2="{px:.1f}" y2="{bottom}"/>')
            frame.append(_text(px, bottom + 14, label, "middle", "small"))
        for value, label in self.y.ticks:
            _, py = self.at(self.x.low, value)
            frame.append(f'<line class="grid" x1="{_LEFT}" y1="{py:.1f}" x2="{right}" y2="{py:.1f}"/>')
            frame.append(_text(_LEFT - 5, py + 3, label, "end", "small"))
        frame.append(_text(_LEFT, _TOP - 10, self.title, "start", "title"))
        frame.append(_text((_LEFT + right) / 2, bottom + 32, self.x.title, "middle", "label"))
        turned = f'transform="translate(12 {(_TOP + bottom) / 2:.1f}) rotate(-90)"'
        frame.append(f'<text class="label" {turned} text-anchor="middle">{escape(self.y.title)}</text>')
        return "".join([*frame, *self.parts])


def picture(
    panels: Sequence[Panel],
    legend: Sequence[tuple[int, str]],
    description: str,
    *,
    has_bars: bool = False,
    n_columns: int = 3,
) -> str:
    """Panels in rows, the legend in the cell after the last one.

    Args:
        panels: at least one.
        legend: numbers of series with their names.
        description: for those who do not see it.
        has_bars: whether the legend shows areas instead of lines.
        n_columns: panels in a row.
    """
    n_rows = math.ceil((len(panels) + 1) / n_columns)
    width, height = n_columns * CELL_WIDTH, n_rows * CELL_HEIGHT
    placed = []
    for i, panel in enumerate(panels):
        placed.append(_placed(panel.drawn(), i, n_columns))
    placed.append(_placed(_legend(legend, has_bars), len(panels), n_columns))
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">'
    ground = f'<rect class="ground" width="{width}" height="{height}"/>'
    return "\n".join([head, f"<title>{escape(description)}</title>", _style(), ground, *placed, "</svg>"]) + "\n"


def _placed(inside: str, index: int, n_columns: int) -> str:
    row, column = divmod(index, n_columns)
    return f'<g transform="translate({column * CELL_WIDTH} {row * CELL_HEIGHT})">{inside}</g>'


def _legend(series: Sequence[tuple[int, str]], has_bars: bool) -> str:
    parts = []
    for i, (number, name) in enumerate(series):
        y = _TOP + 12 + 20 * i
        dash = f' stroke-dasharray="{_DASHES[number]}"' if _DASHES[number] else ""
        if has_bars:
            parts.append(f'<rect class="bar s{number}" x="{_LEFT + 10}" y="{y - 6}" width="20" height="12"/>')
        else:
            parts.append(f'<line class="line s{number}" x1="{_LEFT}" y1="{y}" x2="{_LEFT + 30}" y2="{y}"{dash}/>')
        parts.append(_text(_LEFT + 38, y + 4, name, "start", "label"))
    return "".join(parts)


def _style() -> str:
    common = (
        "text{font-family:system-ui,sans-serif;fill:var(--ink)}.title{font-size:13px;font-weight:600}"
        ".label{font-size:12px}.small{font-size:10px}.ground{fill:var(--paper)}.grid{stroke:var(--rule);stroke-width:1}"
        ".line{fill:none;stroke-width:2}.band{opacity:.16}.dot,.bar{stroke:var(--paper);stroke-width:.5}"
    )
    return (
        f"<style>:root{{--paper:#ffffff;--ink:#1c1c1c;--rule:#e3e3e3}}{common}{_colours(_LIGHT)}"
        "@media (prefers-color-scheme:dark){:root{--paper:#15181c;--ink:#e8e8e8;--rule:#33383f}"
        f"{_colours(_DARK)}}}</style>"
    )


def _colours(colours: Sequence[str]) -> str:
    return "".join(f".line.s{i}{{stroke:{c}}}.band.s{i},.dot.s{i},.bar.s{i}{{fill:{c}}}" for i, c in enumerate(colours))


def _text(x: float, y: float, text: str, anchor: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _listed(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def ticks(low: float, high: float, n: int = 4) -> list[tuple[float, str]]:
    """About `n` round values between two others, with their text.

    >>> ticks(0.0, 0.83)
    [(0.0, '0'), (0.2, '0.2'), (0.4, '0.4'), (0.6, '0.6'), (0.8, '0.8')]
    """
    rough = (high - low) / n
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough * 0.9)
    first = math.ceil(low / step - 1e-9)
    values = [round(i * step, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]
    return [(value, f"{value:g}") for value in values]
