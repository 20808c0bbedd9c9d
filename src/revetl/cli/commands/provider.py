"""`revetl provider`: one lookup of a provider, and its examples played."""

from __future__ import annotations

import sys

import rich_click as click

from revetl.cli import completing
from revetl.cli.options import ProjectOptions, console, emit_json, err_console, json_option, project_options
from revetl.cli.output import echo
from revetl.cli.terminal import Terminal
from revetl.cli.waiting import wait_option


@click.group("provider", short_help="Try a provider with one lookup, or play its examples.")
def command() -> None:
    """Try a provider with one lookup, or play the examples of its dialect."""


@command.command("try")
@click.argument("name", shell_complete=completing.providers)
@project_options
@click.option(
    "--input",
    "given",
    multiple=True,
    metavar="NAME=VALUE",
    help="What it is asked with, as domain=acme.com. Repeatable.",
)
@click.option("--yes", is_flag=True, help="Make the lookup without asking, whatever it may cost.")
@click.option("--no-input", is_flag=True, help="Never ask; without --yes nothing that costs money is asked.")
@wait_option
@json_option
def try_(
    name: str,
    options: ProjectOptions,
    given: tuple[str, ...],
    yes: bool,
    no_input: bool,
    wait_s: float,
    as_json: bool,
) -> int:
    """Make one lookup of NAME (vendor.endpoint), and show what was sent, what came of it and what it cost.

    It asks before it costs money. The lookup is in the ledger like every other one, so the same question is not paid
    for twice: what was answered before is shown again.
    """
    from revetl.cli.render.provider import lookup_document, show_prepared, show_result
    from revetl.usecases.provider_try import TryRequest, try_provider

    request = TryRequest(
        name=name,
        inputs=_pairs(given),
        agreed=yes,
        ask=lambda: _go_on(may_ask=not no_input),
        on_prepared=lambda prepared: show_prepared(err_console() if as_json else console(), prepared),
    )
    project = options.load()
    with Terminal(wait_s) as terminal:
        result = try_provider(project, request, terminal.caller)
    if as_json:
        emit_json(lookup_document(result))
    else:
        show_result(console(), result)
    return result.exit_code


@command.command("test")
@click.argument("name", required=False, shell_complete=completing.providers)
@project_options
@json_option
def test(name: str | None, options: ProjectOptions, as_json: bool) -> int:
    """Play the examples in enrichment/examples/: of NAME (a vendor or vendor.endpoint), or all.

    The vendor is played from the files: nobody is asked, and no key is needed. Exit code 1 where an example does not
    hold, where a pointer of the vendor's file matches in none of them, or where there is no example at all.
    """
    from revetl.cli.render.provider import examples_document, show_examples
    from revetl.usecases.provider_examples import play_examples

    project = options.load()
    played = play_examples(project, name)
    if as_json:
        emit_json(examples_document(played, project.root))
    else:
        show_examples(console(), played, project.root)
    return played.exit_code


def _pairs(given: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--input is NAME=VALUE, as in --input domain=acme.com; this is {text!r}.")
        if name in found:
            raise click.UsageError(f"--input {name} stands twice.")
        found[name] = value
    return found


def _go_on(*, may_ask: bool) -> bool:
    if not may_ask or not sys.stdin.isatty():
        echo("--yes agrees to the cost where nobody can be asked.", err=True)
        return False
    return click.confirm("Ask?", err=True)
