"""Somebody else works on it: say who, and wait where that was asked for."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click

from revetl.cli.options import err_console

if TYPE_CHECKING:
    from revetl.project import Project
    from revetl.state.leases import Holder
    from revetl.warehouse.base import Warehouse

F = TypeVar("F", bound=Callable[..., Any])

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
_POLL_S = 1.0


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
        help="Wait this long where another run works on it (90s, 10m). Default: say who, and end.",
    )(function)


def open_warehouse(project: Project, wait_s: float) -> Warehouse:
    """As `Project.open_warehouse`; a DuckDB file that another process has open is tried again for `wait_s`."""
    from revetl.errors import WarehouseBusy

    deadline, told = time.monotonic() + wait_s, False
    while True:
        try:
            return project.open_warehouse()
        except WarehouseBusy as e:
            left = deadline - time.monotonic()
            if left <= 0:
                raise
            if not told:
                err_console().print(f"Waiting up to {wait_s:g} s: {e}", markup=False)
                told = True
            time.sleep(min(_POLL_S, left))


def say_waiting(holder: Holder) -> None:
    err_console().print(f"Waiting for {holder.name.removeprefix('sync:')}: held by {holder}.", markup=False)
