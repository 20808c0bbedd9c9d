"""A comparison as horizontal bars: an SVG that stands by itself, in light and in dark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _LEFT, _RIGHT, _TOP, _ROW = 820, 250, 110, 84, 44
_STYLE = (
    ".b{--ink:#16202b;--soft:#5b6875;--paper:#fff;--ours:#0f766e;--other:#b6c0ca;"
    'font-family:Inter,"Segoe UI",system-ui,-apple-system,"Helvetica Neue",Arial,sans-serif}'
    "@media (prefers-color-scheme:dark){.b{--ink:#e8edf2;--soft:#9aa7b4;--paper:#10171e;--ours:#2dd4bf;--other:#3d4a57}}"
    ".b text{fill:var(--ink);font-size:14px}.b .title{font-size:19px;font-weight:650}"
    ".b .sub{fill:var(--soft);font-size:13px}.b .figure{font-variant-numeric:tabular-nums}"
    ".b .ours{fill:var(--ours)}.b .other{fill:var(--other)}.b .strong{font-weight:650}.b .paper{fill:var(--paper)}"
)


@dataclass(frozen=True)
class Bar:
    """`text` is what stands behind the bar."""

    label: str
    value: float
    text: str
    ours: bool = False


def svg(title: str, subtitle: str, bars: Sequence[Bar]) -> str:
    """Bars in the given order, from zero, the longest as long as there is room."""
    height = _TOP + _ROW * len(bars) + 16
    scale = (_WIDTH - _LEFT - _RIGHT) / max(bar.value for bar in bars)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="b" viewBox="0 0 {_WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        f'<rect class="paper" width="{_WIDTH}" height="{height}" rx="10"/>',
        f'<text class="title" x="24" y="36">{escape(title)}</text>',
        f'<text class="sub" x="24" y="60">{escape(subtitle)}</text>',
    ]
    for i, bar in enumerate(bars):
        y, long = _TOP + i * _ROW, bar.value * scale
        kind, weight = ("ours", " strong") if bar.ours else ("other", "")
        parts += [
            f'<text class="label{weight}" x="{_LEFT - 14}" y="{y + 21}" text-anchor="end">{escape(bar.label)}</text>',
            f'<rect class="{kind}" x="{_LEFT}" y="{y + 3}" width="{long:.1f}" height="26" rx="4"/>',
            f'<text class="figure{weight}" x="{_LEFT + long + 10:.1f}" y="{y + 21}">{escape(bar.text)}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])
