"""Line charts as SVG: lines, two axes and a legend."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field

WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 62, 12, 34, 46
COLOURS = ("#1668b8", "#c2571a", "#3c8d40")


@dataclass(slots=True)
class Chart:
    """Series of points over one pair of axes. Axes start at zero, unless logarithmic."""

    title: str
    x_label: str
    y_label: str
    logarithmic: bool = False
    series: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, name: str, x: float, y: float) -> None:
        """Add a point to a series."""
        self.series[name].append((x, y))

    def svg(self, left: int) -> str:
        """Return the SVG elements of the chart, `left` pixels from the edge."""
        points = [point for line in self.series.values() for point in line]
        scale = math.log2 if self.logarithmic else float
        xs = sorted({x for x, _ in points})
        low, high = (scale(xs[0]) if self.logarithmic else 0.0), scale(xs[-1])
        top = _round_up(max(y for _, y in points))

        def place(x: float, y: float) -> tuple[float, float]:
            fraction = (scale(x) - low) / ((high - low) or 1)
            return LEFT + fraction * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - y / top * (HEIGHT - TOP - BOTTOM)

        parts = [f'<g transform="translate({left},0)">', _text(LEFT, 18, self.title, "start", bold=True)]
        for step in range(5):
            value = top * step / 4
            _, y = place(xs[-1], value)
            parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
            parts.append(_text(LEFT - 6, y + 4, f"{value:,.0f}", "end"))
        parts += [_text(place(x, 0)[0], HEIGHT - BOTTOM + 16, f"{x:g}", "middle") for x in xs]
        parts.append(
            _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, f"{self.x_label} (y-axis: {self.y_label})", "middle")
        )
        for number, (name, line) in enumerate(self.series.items()):
            colour = COLOURS[number % len(COLOURS)]
            path = " ".join("{:.1f},{:.1f}".format(*place(x, y)) for x, y in line)
            parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
            parts.append(_text(LEFT + 8, TOP + 12 + 15 * number, name, "start", colour=colour))
        return "\n".join([*parts, "</g>"])


def page(charts: list[Chart]) -> str:
    """Return charts side by side as one SVG document."""
    width = WIDTH * len(charts)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" font-family="sans-serif" font-size="11">'
    ground = f'<rect width="{width}" height="{HEIGHT}" fill="white"/>'
    return "\n".join([head, ground, *(chart.svg(WIDTH * place) for place, chart in enumerate(charts)), "</svg>\n"])


def _text(x: float, y: float, text: str, anchor: str, *, bold: bool = False, colour: str = "#333") -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"{weight}>{text}</text>'


def _round_up(value: float) -> float:
    """Return the next larger even multiple of a power of ten, so that quarters are round."""
    step = 10.0 ** math.floor(math.log10(max(value, 1e-9)))
    return math.ceil(value / step / 2) * 2 * step
