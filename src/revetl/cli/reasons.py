"""`--reason`: why an act is done, for the audit log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import rich_click as click

F = TypeVar("F", bound=Callable[..., Any])

_KEPT = "revetl.reason"


def reason_option(function: F) -> F:
    """Adds --reason, which `Terminal` hands over with the caller."""
    return click.option(
        "--reason",
        metavar="TEXT",
        expose_value=False,
        callback=_keep,
        help="Why, for the audit log. Default: REVETL_REASON.",
    )(function)


def given_reason() -> str | None:
    ctx = click.get_current_context(silent=True)
    return None if ctx is None else ctx.meta.get(_KEPT)


def _keep(ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.meta[_KEPT] = value
