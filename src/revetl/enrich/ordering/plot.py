"""The cost-coverage curve as a picture: SVG, or an HTML page around it. Nothing is loaded from anywhere."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from revetl.enrich.ordering.compare import Comparison, CurvePoint
from revetl.safe_text import for_html

WIDTH, HEIGHT = 960, 560
LEFT, RIGHT, TOP, BOTTOM = 76, 36, 104, 70
_COVERED = 6  # pixels: nearer than that, the mark below can't be seen
_STYLE = """\
.tune { --ink:#16202b; --soft:#5b6875; --grid:#e6eaee; --paper:#ffffff; --best:#0f766e; --today:#c2410c;
  font-family:Inter,"Segoe UI",system-ui,-apple-system,"Helvetica Neue",Arial,sans-serif; }
@media (prefers-color-scheme: dark) { .tune { --ink:#e8edf2; --soft:#9aa7b4; --grid:#26313c; --paper:#10171e;
  --best:#2dd4bf; --today:#fb923c; } }
.tune .paper { fill:var(--paper); }
.tune text { fill:var(--ink); font-size:13px; }
.tune .title { font-size:20px; font-weight:650; letter-spacing:-.01em; }
.tune .sub { fill:var(--soft); font-size:13.5px; }
.tune .tick { fill:var(--soft); font-size:12px; font-variant-numeric:tabular-nums; }
.tune .axis { fill:var(--soft); font-size:12.5px; }
.tune .grid { stroke:var(--grid); stroke-width:1; }
.tune .curve { fill:none; stroke:var(--best); stroke-width:2.5; stroke-linejoin:round; }
.tune .wash { fill:var(--best); opacity:.09; }
.tune .mark { stroke:var(--paper); stroke-width:2; }
.tune .stop { fill:var(--paper); stroke:var(--best); stroke-width:2.5; }
.tune .best { fill:var(--best); }
.tune .today { fill:var(--today); }
.tune .cheapest { fill:#6366f1; }
.tune .index { fill:#c026d3; }
.tune .random { fill:#94a0ab; }
.tune .price { font-variant-numeric:tabular-nums; }
.tune .strong { font-weight:650; }
"""


# From the bottom of the picture to the top.
_KINDS = ("stop", "random", "index", "cheapest", "today", "best")
_KIND = {
    "today": "today",
    "best": "best",
    "cheapest first": "cheapest",
    "price/hit rate": "index",
    "random": "random",
}


@dataclass(frozen=True, slots=True)
class _Mark:
    x: float
    y: float
    label: str
    kind: str
    tip: str
    price: str = ""


def html(comparison: Comparison, title: str) -> str:
    """A page of its own, light or dark as the reader's system is."""
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{for_html(title)}</title><style>:root{{color-scheme:light dark}}body{{margin:0;background:#fff}}"
        "@media (prefers-color-scheme:dark){body{background:#10171e}}"
        "main{max-width:1040px;margin:24px auto;padding:0 16px}svg{width:100%;height:auto}</style>"
        f"<main>{svg(comparison, title)}</main></html>\n"
    )


def svg(comparison: Comparison, title: str) -> str:
    """Coverage over cost: the best that any order and stopping point gives, and where today's and the usual orders are.

    A comparison without a curve (nobody was asked yet) gives an empty frame.
    """
    points = [*comparison.curve, *(line.point for line in comparison.lines if line.point is not None)]
    right = max((p.usd_per_record for p in points), default=0.0) * 1.06 or 1.0
    top = max((p.coverage for p in points), default=0.0)
    frame = _Frame(right, min(1.0, math.ceil(top * 1.08 * 10) / 10) or 1.0)
    marks = list(_marks(comparison))
    pieces = [
        f'<svg class="tune" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        f' aria-label="{for_html(title)}: share of blanks filled over cost per record"><style>{_STYLE}</style>',
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>',
        f'<text class="title" x="{LEFT - 44}" y="42">{for_html(title)}</text>',
        f'<text class="sub" x="{LEFT - 44}" y="66">{for_html(_subtitle(comparison))}</text>',
        *frame.axes(),
        *_curve(frame, comparison.curve),
        *_drawn(frame, marks),
        "</svg>",
    ]
    return "\n".join(pieces) + "\n"


def _subtitle(comparison: Comparison) -> str:
    if comparison.identified:
        judged, best = f"the {comparison.audited:,.0f} that everybody was asked about", "the best that any order can do"
    else:
        judged, best = "today's order alone", "today's order, stopped after each provider"
    return f"{comparison.records:,.0f} records, judged on {judged}. The line is {best}."


class _Frame:
    """From US dollars per record and share to pixels."""

    def __init__(self, right: float, top: float) -> None:
        self.right, self.top = right, top

    def x(self, usd: float) -> float:
        return LEFT + usd / self.right * (WIDTH - LEFT - RIGHT)

    def y(self, share: float) -> float:
        return HEIGHT - BOTTOM - share / self.top * (HEIGHT - TOP - BOTTOM)

    def axes(self) -> Iterator[str]:
        base = HEIGHT - BOTTOM
        for share in _ticks(self.top):
            y = self.y(share)
            yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            yield f'<text class="tick" x="{LEFT - 10}" y="{y + 4:.1f}" text-anchor="end">{share:.0%}</text>'
        ticks = _ticks(self.right)
        for usd in ticks:
            text = f"${usd:.{_digits(ticks)}f}"
            yield f'<text class="tick" x="{self.x(usd):.1f}" y="{base + 22}" text-anchor="middle">{text}</text>'
        yield f'<text class="axis" x="{WIDTH - RIGHT}" y="{base + 48}" text-anchor="end">cost per record</text>'
        yield f'<text class="axis" x="{LEFT - 44}" y="{TOP - 16}">share of blanks filled</text>'


def _curve(frame: _Frame, points: Sequence[CurvePoint]) -> Iterator[str]:
    """Steps: between two stopping points there is none that costs a little more and fills a little more."""
    if not points:
        return
    path = f"M{frame.x(points[0].usd_per_record):.1f},{frame.y(points[0].coverage):.1f}"
    for p in points[1:]:
        path += f"H{frame.x(p.usd_per_record):.1f}V{frame.y(p.coverage):.1f}"
    path += f"H{frame.x(frame.right):.1f}"
    base = frame.y(0)
    yield f'<path class="wash" d="{path}V{base:.1f}H{frame.x(points[0].usd_per_record):.1f}Z"/>'
    yield f'<path class="curve" d="{path}"/>'


def _marks(comparison: Comparison) -> Iterator[_Mark]:
    chosen = {line.label: line for line in comparison.lines}
    for point in comparison.curve:
        if point.order and point.order != comparison.best:
            text = f"{' → '.join(point.order)}: {point.coverage:.0%} for ${point.usd_per_record:.4f} a record"
            yield _Mark(point.usd_per_record, point.coverage, "", "stop", text)
    same = chosen["best"].order == chosen["today"].order
    for line in comparison.lines:
        if line.point is None or (same and line.label == "best"):
            continue
        kind = _KIND[line.label]
        name = "today, and the best" if same else line.label
        price = f"${line.usd_per_value.value:.3f} a value" if line.usd_per_value else ""
        tip = f"{line.label}: {' → '.join(line.order) or 'the mean of all orders'}"
        yield _Mark(
            line.point.usd_per_record, line.point.coverage, name if kind == "today" else line.label, kind, tip, price
        )


def _drawn(frame: _Frame, marks: Sequence[_Mark]) -> Iterator[str]:
    """The marks, the important ones on top, and what they are, where a curve that flattens leaves room."""
    ordered = sorted(marks, key=lambda m: _KINDS.index(m.kind))
    for k, mark in enumerate(ordered):
        above = [m for m in ordered[k + 1 :] if math.hypot(*_apart(frame, mark, m)) < _COVERED]
        # What lies under another mark is a ring around it.
        radius = {"stop": 4.5, "today": 7.5, "best": 7.5}.get(mark.kind, 6) + (4 * len(above) if mark.label else 0)
        at = f'cx="{frame.x(mark.x):.1f}" cy="{frame.y(mark.y):.1f}" r="{radius}"'
        yield f'<circle class="mark {mark.kind}" {at}><title>{for_html(mark.tip)}</title></circle>'
    named = [m for m in marks if m.label]
    for k, mark in enumerate(named):
        y = frame.y(0) - 20 - 24 * (len(named) - 1 - k)
        strong = " strong" if mark.kind in ("best", "today") else ""
        right = WIDTH - RIGHT - 14
        yield f'<circle class="mark {mark.kind}" cx="{right - 262}" cy="{y - 4:.1f}" r="5.5"/>'
        yield f'<text class="label{strong}" x="{right - 248}" y="{y:.1f}">{for_html(mark.label)}</text>'
        price = for_html(mark.price)
        yield f'<text class="label price{strong}" x="{right}" y="{y:.1f}" text-anchor="end">{price}</text>'


def _apart(frame: _Frame, a: _Mark, b: _Mark) -> tuple[float, float]:
    return frame.x(a.x) - frame.x(b.x), frame.y(a.y) - frame.y(b.y)


def _ticks(most: float, about: int = 6) -> list[float]:
    """Round numbers from 0 up to `most`."""
    step = 10 ** math.floor(math.log10(most / about))
    step *= next(k for k in (1, 2, 2.5, 5, 10) if most / (step * k) <= about)
    return [k * step for k in range(math.floor(most / step + 1e-9) + 1)]


def _digits(ticks: Sequence[float]) -> int:
    step = ticks[1] if len(ticks) > 1 else 1.0
    return max(2, -math.floor(math.log10(step)))
