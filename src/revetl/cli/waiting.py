"""`--wait`: how long to wait for what another run or process holds."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import rich_click as click

F = TypeVar("F", bound=Callable[..., Any])

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def _seconds(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float:
    """`90`, `90s`, `10m`, `1h`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", value or "0")
    if match is None:
        raise click.BadParameter(f"{value!r} is not a duration: 90s, 10m, 1h")
    return float(match[1]) * _UNITS[match[2]]


def wait_option(function: F) -> F:
    """Adds --wait as `wait_s`."""
    return click.option(
        "--wait",
        "wait_s",
        callback=_seconds,
        metavar="DURATION",
        help="Wait this long for what another run or process holds: the sync, the DuckDB file (90s, 10m). Default: say"
        " who, and end.",
    )(function)
