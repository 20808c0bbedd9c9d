"""`revetl token`: who may use the API and the page of `revetl serve`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import rich_click as click

from revetl.cli.options import ProjectOptions, console, emit_json, json_option, project_options
from revetl.cli.output import echo
from revetl.cli.reasons import reason_option
from revetl.cli.terminal import Terminal
from revetl.cli.waiting import wait_option

_ROLES = ("viewer", "operator", "approver")


def _days(_ctx: click.Context, _param: click.Parameter, value: str | None) -> timedelta | None:
    if value is None:
        return None
    match = re.fullmatch(r"(\d{1,5})([dh])", value)
    if match is None or not int(match[1]):
        raise click.BadParameter(f"{value!r} is not a duration: 90d, 12h")
    return timedelta(days=int(match[1])) if match[2] == "d" else timedelta(hours=int(match[1]))


@click.group(short_help="Who may use the API and the page.")
def command() -> None:
    """Tokens for the API and the page of `revetl serve`. The warehouse keeps a digest: each is shown once."""


@command.command()
@project_options
@click.option("--name", required=True, metavar="NAME", help="The person or program that has it.")
@click.option(
    "--role",
    type=click.Choice(_ROLES),
    default="viewer",
    show_default=True,
    help="viewer reads; operator plans, sends and takes back, too; approver approves plans and erases, too.",
)
@click.option("--lasts", metavar="DURATION", callback=_days, help="Until it ends (90d, 12h). Default: it is revoked.")
@reason_option
@wait_option
@json_option
def create(
    options: ProjectOptions, name: str, role: str, lasts: timedelta | None, wait_s: float, as_json: bool
) -> None:
    """Make a token, and print it once."""
    from revetl.accounts.roles import Role
    from revetl.usecases.access import create_token

    project = options.load()
    with Terminal(wait_s) as terminal:
        made, secret = create_token(project, name, Role(role), terminal.caller, lasts=lasts)
    if as_json:
        emit_json({**_row(made), "token": secret})
    else:
        echo(secret)
        echo(f"Token {made.token_id} of {made.name}, {made.role}. It is shown this once.", err=True)


@command.command("list")
@project_options
@wait_option
@json_option
def list_(options: ProjectOptions, wait_s: float, as_json: bool) -> None:
    """List tokens: whose, since when, last used, until when."""
    from revetl.cli.render.access import show_tokens
    from revetl.usecases.access import tokens

    project = options.load()
    with Terminal(wait_s) as terminal:
        found = tokens(project, terminal.caller)
        now = terminal.caller.clock.now()
    if as_json:
        emit_json([_row(token) for token in found])
    elif not found:
        echo("There is no token. `revetl token create --name NAME --role viewer` makes one.")
    else:
        show_tokens(console(), found, now)


@command.command()
@project_options
@click.argument("token", metavar="TOKEN")
@reason_option
@wait_option
@json_option
def revoke(options: ProjectOptions, token: str, wait_s: float, as_json: bool) -> None:
    """End TOKEN: an id that `revetl token list` shows, or a name, of which all tokens end. A service refuses it ten
    seconds later at the latest."""
    from revetl.usecases.access import revoke_token

    project = options.load()
    with Terminal(wait_s) as terminal:
        found = revoke_token(project, token, terminal.caller)
    if as_json:
        emit_json({"revoked": [each.token_id for each in found]})
    else:
        echo(f"Revoked: {', '.join(each.token_id for each in found)}.")


def _row(token: Any) -> dict[str, Any]:
    names = ("token_id", "name", "role", "created_at", "created_by", "expires_at", "revoked_at", "last_used_at")
    return {name: getattr(token, name) for name in names}
