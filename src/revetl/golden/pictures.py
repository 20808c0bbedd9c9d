"""Pictures of matching as SVG: light or dark as the reader's system is, with a title and a description that a screen
reader says. Nothing is loaded from anywhere, and nothing is told by colour alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from revetl.golden.curve import ThresholdPoint, best_point
from revetl.safe_text import for_html

WIDTH, HEIGHT = 960, 520
LEFT, RIGHT, TOP, BOTTOM = 76, 120, 96, 66
_STYLE = """\
.matching { --ink:#16202b; --soft:#5b6875; --grid:#e6eaee; --paper:#ffffff; --precision:#0f766e; --recall:#b4430b;
  --against:#8a3ffc; font-family:Inter,"Segoe UI",system-ui,-apple-system,"Helvetica Neue",Arial,sans-serif; }
@media (prefers-color-scheme: dark) { .matching { --ink:#e8edf2; --soft:#9aa7b4; --grid:#26313c; --paper:#10171e;
  --precision:#2dd4bf; --recall:#fb923c; --against:#be95ff; } }
.matching .paper { fill:var(--paper); }
.matching text { fill:var(--ink); font-size:13px; }
.matching .title { font-size:20px; font-weight:650; letter-spacing:-.01em; }
.matching .sub, .matching .axis { fill:var(--soft); }
.matching .tick { fill:var(--soft); font-size:12px; font-variant-numeric:tabular-nums; }
.matching .grid { stroke:var(--grid); stroke-width:1; }
.matching .zero, .matching .best { stroke:var(--soft); stroke-width:1; stroke-dasharray:2 4; fill:none; }
.matching .precision { stroke:var(--precision); stroke-width:2.5; fill:none; stroke-linejoin:round; }
.matching .recall { stroke:var(--recall); stroke-width:2.5; fill:none; stroke-linejoin:round; stroke-dasharray:8 4; }
.matching .for { fill:var(--precision); }
.matching .against { fill:var(--against); }
.matching .number { font-variant-numeric:tabular-nums; }
.matching .strong { font-weight:650; }
"""


def framed(title: str, description: str, height: int, drawn: Iterable[str]) -> str:
    """A whole SVG document. `title` and `description` are texts; `drawn` is SVG already."""
    pieces = [
        f'<svg class="matching" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"'
        ' aria-labelledby="title description">',
        f'<title id="title">{for_html(title)}</title>',
        f'<desc id="description">{for_html(description)}</desc>',
        f"<style>{_STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{height}"/>',
        f'<text class="title" x="32" y="42">{for_html(title)}</text>',
        *drawn,
        "</svg>",
    ]
    return "\n".join(pieces) + "\n"


def curve_svg(curve: Sequence[ThresholdPoint], title: str) -> str:
    """Precision and recall over the threshold. A curve without a point gives an empty frame that says so."""
    best = best_point(curve)
    if best is None:
        return framed(
            title, "No pair has a weight.", 120, ['<text class="sub" x="32" y="70">No pair has a weight.</text>']
        )
    said = (
        f"Best F1 {best.score.f1:.3f} at {best.threshold:g} bits:"
        f" precision {best.score.precision:.3f}, recall {best.score.recall:.3f}."
    )
    ends = f"From {curve[0].threshold:g} to {curve[-1].threshold:g} bits, of {len(curve)} thresholds."
    return framed(title, f"{said} {ends}", HEIGHT, _curve_drawn(curve, best, said))


def _curve_drawn(curve: Sequence[ThresholdPoint], best: ThresholdPoint, said: str) -> Iterator[str]:
    low = min(curve[0].threshold, 0.0)
    high = max(curve[-1].threshold, low + 1)
    base = HEIGHT - BOTTOM

    def x(bits: float) -> float:
        return LEFT + (bits - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(share: float) -> float:
        return base - share * (base - TOP)

    yield f'<text class="sub" x="32" y="66">{for_html(said)}</text>'
    for tenth in range(0, 11, 2):
        at = y(tenth / 10)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
        yield f'<text class="tick" x="{LEFT - 10}" y="{at + 4:.1f}" text-anchor="end">{tenth / 10:.0%}</text>'
    for bits in _ticks(low, high):
        yield f'<text class="tick" x="{x(bits):.1f}" y="{base + 22}" text-anchor="middle">{bits:g}</text>'
    yield f'<text class="axis" x="{WIDTH - RIGHT}" y="{base + 46}" text-anchor="end">threshold, in bits</text>'
    yield f'<line class="best" x1="{x(best.threshold):.1f}" x2="{x(best.threshold):.1f}" y1="{TOP}" y2="{base}"/>'
    lines = [("precision", [p.score.precision for p in curve]), ("recall", [p.score.recall for p in curve])]
    ends = [y(shares[-1]) for _, shares in lines]
    if abs(ends[0] - ends[1]) < 18:  # or one name would stand on the other
        upper = min((0, 1), key=lambda i: (ends[i], i))
        ends[upper] -= 9
        ends[1 - upper] += 9
    for (name, shares), end in zip(lines, ends, strict=True):
        points = " ".join(f"{x(p.threshold):.1f},{y(share):.1f}" for p, share in zip(curve, shares, strict=True))
        yield f'<polyline class="{name}" points="{points}"/>'
        yield f'<text class="strong" x="{WIDTH - RIGHT + 12}" y="{end + 4:.1f}">{name}</text>'


@dataclass(frozen=True, slots=True)
class PairEvidence:
    """Two records and what makes them one. `fields`: each with its weight, below zero where it speaks against."""

    left: str
    right: str
    weight: float
    fields: tuple[tuple[str, float], ...]


_SHOWN_PAIRS, _ROW, _NAMES, _LONGEST = 12, 22, 300, 38


def evidence_svg(pairs: Sequence[PairEvidence], title: str) -> str:
    """A bar for the weight of each field, a group of bars for each pair: the twelve heaviest pairs."""
    shown = list(pairs[:_SHOWN_PAIRS])
    bits = [weight for pair in shown for _, weight in pair.fields] or [1.0]
    low, high = min(0.0, *bits), max(0.0, *bits)
    zero = LEFT + _NAMES + (0 - low) / (high - low or 1) * (WIDTH - LEFT - _NAMES - 110)
    scale = (WIDTH - LEFT - _NAMES - 110) / (high - low or 1)
    n_rows = sum(len(pair.fields) + 1 for pair in shown)
    height = TOP + n_rows * _ROW + len(shown) * 12 + 24
    heaviest = f" The heaviest has {shown[0].weight:,.1f} bits." if shown else ""
    said = f"{len(pairs):,} pairs of records are joined; {len(shown):,} are shown.{heaviest}"
    return framed(title, said, height, _evidence_drawn(shown, said, zero, scale))


def _evidence_drawn(pairs: Sequence[PairEvidence], said: str, zero: float, scale: float) -> Iterator[str]:
    yield f'<text class="sub" x="32" y="66">{for_html(said)}</text>'
    y = float(TOP)
    for pair in pairs:
        names = f"{_cut(pair.left)} and {_cut(pair.right)}"
        yield f'<text class="strong" x="32" y="{y:.1f}">{for_html(names)}</text>'
        at = WIDTH - 32
        yield f'<text class="strong number" x="{at}" y="{y:.1f}" text-anchor="end">{pair.weight:+,.1f}</text>'
        for name, weight in pair.fields:
            y += _ROW
            width = max(abs(weight) * scale, 1)
            x = zero if weight >= 0 else zero - width
            side = "for" if weight >= 0 else "against"
            yield f'<text class="sub" x="48" y="{y:.1f}">{for_html(_cut(name))}</text>'
            yield f'<rect class="{side}" x="{x:.1f}" y="{y - 11:.1f}" width="{width:.1f}" height="13" rx="2"/>'
            end = max(zero, x + width) + 6
            yield f'<text class="tick" x="{end:.1f}" y="{y:.1f}">{weight:+,.1f}</text>'
        y += _ROW + 12


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _ticks(low: float, high: float, about: int = 10) -> list[float]:
    """Round numbers from `low` to `high`."""
    step = 10 ** math.floor(math.log10((high - low) / about))
    step *= next(k for k in (1, 2, 5, 10) if (high - low) / (step * k) <= about)
    return [k * step for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
