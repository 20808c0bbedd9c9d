"""The command `revetl`: finds the one command that was named, and turns every failure into a line and an exit code.

`revetl --help` is the first thing a person runs and the last that should be slow, so the list below is all it reads:
a command's module, and whatever that imports, is loaded only when the command runs. This module imports plain click
and nothing else that is not Python's own; rich-click comes with the commands.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from typing import Any

import click

from revetl import __version__
from revetl.errors import did_you_mean

# name → what `revetl --help` says of it. The command object is `command` in revetl.cli.commands.<name>.
COMMANDS: dict[str, str] = {
    "init": "Set up revetl in a dbt project, or write the starter project.",
    "scaffold": "Draft the sync of a model: its SQL, its contract and its meta.",
    "demo": "Run the whole job here, on made-up customers.",
    "debug": "Check the set-up: dbt, warehouse, destinations, providers.",
    "check": "Parse the project, and hold each sync against the warehouse and its destination.",
    "ls": "List syncs, waterfalls, providers and destinations.",
    "build": "Build the dbt models, with the tables they read from.",
    "enrich": "Fill gaps from data providers, for the project or for a file.",
    "plan": "Show exactly what a sync would change, and send nothing.",
    "apply": "Send a plan that `revetl plan --out` saved.",
    "sync": "Send what changed to the destinations.",
    "run": "The whole job: build, enrich, build what depends on it, sync.",
    "runs": "List past runs and what became of their records.",
    "retry": "Send rejected records again.",
    "rollback": "Take back what a run wrote, field by field.",
    "drift": "Compare what stands at the destination with what was written.",
    "disconnect": "Leave a destination: what stands there because of a sync, and its state.",
    "erase": "Forget a person: remove what is kept, never look up or send again.",
    "explain": "Tell one record's story: sources, values, last outcomes.",
    "serve": "Run what is scheduled, until it is stopped.",
    "schedule": "List scheduled runs: what is next, what was missed, why one waits.",
    "token": "Say who may use the API and the page: create, list, revoke.",
    "audit": "List who did what, when, from where, and why.",
    "alerts": "List incidents, check for them now, try a channel.",
    "provider": "Try a provider with one lookup, or play its examples.",
    "invoices": "Hold a vendor's invoice against the ledger.",
    "tune": "Find the cheapest order of a waterfall's providers.",
    "match": "Learn the weights of matching, score it, see what a change changes.",
    "sandbox": "Serve local vendors, and make sources to play with.",
    "completion": "Print the script that completes words in bash, zsh or fish.",
    "schema": "Print the JSON Schema of a configuration file, for editors.",
}

# What help shows, heading by heading: every command of `COMMANDS` once.
GROUPS: dict[str, tuple[str, ...]] = {
    "Start": ("init", "scaffold", "check", "demo", "debug", "ls"),
    "The job": ("build", "enrich", "plan", "apply", "sync", "run"),
    "Afterwards": ("runs", "retry", "rollback", "drift", "disconnect", "erase", "explain"),
    "By itself": ("serve", "schedule", "alerts", "token", "audit"),
    "Tools": ("provider", "tune", "invoices", "match", "sandbox", "schema", "completion"),
}


COMPLETE_VARIABLE = "_REVETL_COMPLETE"  # set by the script of `revetl completion` when a word is to be completed


class LazyGroup(click.Group):
    """Lists commands from `COMMANDS`; imports one only to run it or to show its own help."""

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Group by group, headings in bold where a terminal shows it."""
        formatter.write_usage("revetl", "[OPTIONS] COMMAND [ARGS]…", prefix=_heading("Usage: "))
        self.format_help_text(ctx, formatter)
        width = max(map(len, COMMANDS))
        for title, names in GROUPS.items():
            with formatter.section(_heading(title)):
                formatter.write_dl([(click.style(f"{n:<{width}}", fg="cyan"), COMMANDS[n]) for n in names])
        with formatter.section(_heading("Options")):
            options = [record for p in self.get_params(ctx) if (record := p.get_help_record(ctx)) is not None]
            formatter.write_dl([(click.style(flags, fg="cyan"), says) for flags, says in options])

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        # Asked for each name when help is printed: a name and a line are all that needs.
        if cmd_name not in COMMANDS:
            return None
        return click.Command(cmd_name, short_help=COMMANDS[cmd_name], help=COMMANDS[cmd_name])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS:
            if ctx.resilient_parsing:  # the shell asks for completions
                return None, None, args
            if name.startswith("-"):
                raise click.NoSuchOption(name, ctx=ctx)
            raise click.UsageError(f"No such command {name!r}. {did_you_mean(name, list(COMMANDS))}", ctx=ctx)
        command: click.Command = import_module(f"revetl.cli.commands.{name}").command
        _give_log_options(command)
        several = any(p.name == "select" for p in command.params)
        return name, command, _one_flag_each(args[1:]) if several else args[1:]

    def invoke(self, ctx: click.Context) -> Any:
        """A command that was named; help and the version come before."""
        from revetl.cli.signals import interrupted_by_signals

        with interrupted_by_signals():
            return super().invoke(ctx)


def _log_options() -> list[click.Option]:
    """Of every command, before its name or after it. What they do is loaded where one is used."""
    return [
        click.Option(["-q", "--quiet"], is_flag=True, help="Results, questions and errors only."),
        click.Option(["-v", "--verbose"], is_flag=True, help="Log each step, batch, wait, retry and call."),
        click.Option(["--log-format"], type=click.Choice(["text", "json"]), help="Log the steps, as lines or JSON."),
        click.Option(["--log-file"], type=click.Path(dir_okay=False), help="Append the log here, not to stderr."),
    ]


def _with_effect(option: click.Option, *, hidden: bool = False) -> click.Option:
    option.callback, option.expose_value, option.hidden = _set_log_option, False, hidden
    return option


def _set_log_option(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if value and not ctx.resilient_parsing:
        from revetl.cli.logs import set_option

        set_option(ctx, str(param.name), value)


def _give_log_options(command: click.Command) -> None:
    """The help of `revetl` shows them; that of a command has enough of its own."""
    if not any(p.name == "log_file" for p in command.params):
        command.params += [_with_effect(option, hidden=True) for option in _log_options()]
    for sub in command.commands.values() if isinstance(command, click.Group) else ():
        _give_log_options(sub)


def _one_flag_each(args: list[str]) -> list[str]:
    """`-s a b` as dbt reads it, `-s a -s b`: click gives a flag one value. Commands that select take no other words."""
    out: list[str] = []
    flag = None
    for arg in args:
        if arg.startswith("-"):
            name, _, value = arg.partition("=")
            flag = name if name in ("-s", "--select", "--exclude") else None
            filled = bool(value)
        elif flag is not None and filled:
            out.append(flag)
        elif flag is not None:
            filled = True
        out.append(arg)
    return out


def _heading(text: str) -> str:
    return click.style(text, bold=True)


# NO_COLOR is honoured for what click prints by itself; on what is no terminal click leaves colour out anyway.
_SETTINGS: dict[str, Any] = {
    "help_option_names": ["-h", "--help"],
    **({"color": False} if os.environ.get("NO_COLOR") else {}),
}


@click.group(cls=LazyGroup, context_settings=_SETTINGS)
@click.option("--debug", is_flag=True, envvar="REVETL_DEBUG", help="Show the traceback of a failure.")
@click.version_option(__version__, prog_name="revetl")
def cli(debug: bool) -> None:
    """One trusted record per customer in your warehouse, its gaps filled at the lowest price, your tools kept equal.

    Exit codes: 0 done, 1 finished with rejected, unknown or waiting records or failed, 2 usage or configuration,
    3 stopped by a guardrail or a budget, 4 credentials.
    """


cli.params += [_with_effect(option) for option in _log_options()]


def main(argv: Sequence[str] | None = None) -> None:
    """The console script. Never returns; ends with the exit codes of the design, 130 after ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    # Records in flight are many and hold no cycles: looking for some after every 700 takes a fifth of a push.
    gc.set_threshold(50_000)
    if sys.stdin is None:  # first of all, since it takes the number of the first that is free
        sys.stdin = open(os.devnull)  # noqa: SIM115 - stays open as long as the process
    if sys.stdout is None:  # closed by who started us: the next file that is opened must not stand in its place
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - stays open as long as the process
    _write_alike_everywhere()
    try:
        code = _complete(arguments) if COMPLETE_VARIABLE in os.environ else run(arguments)
    finally:
        _abandon_output()
    sys.exit(code)


def _abandon_output() -> None:
    """What could not be written by now was told, or nobody can be told: Python would try once more at its end, complain
    in its own way, and end with a code of its own."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            try:
                stream.flush()
            except OSError:
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _write_alike_everywhere() -> None:
    """What a program reads is UTF-8, whatever the machine's locale is. A terminal keeps its own encoding, and shows a
    question mark for what it lacks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="replace")


def _complete(arguments: list[str]) -> int:
    """Prints what the shell asks for. Whatever fails, nothing is printed: the words stand in somebody's prompt."""
    try:
        cli.main(arguments, prog_name="revetl", complete_var=COMPLETE_VARIABLE, standalone_mode=False)
    except Exception:  # noqa: BLE001 - a traceback would stand in somebody's prompt; the code tells the shell
        return 1
    return 0


def run(arguments: list[str]) -> int:
    """Runs one command line and gives its exit code. Tracebacks are shown only where asked for."""
    printed: list[str] = []  # what `emit_json` has written: a failure after it, as of the log's file, is no second one
    try:
        code = _code(cli.main(arguments, prog_name="revetl", standalone_mode=False, obj=printed))
        sys.stdout.flush()
        return code
    except (Exception, KeyboardInterrupt) as e:  # the last frame: a traceback may hold a customer's values
        from revetl.cli.failures import is_closed_pipe, show, show_document, wants_json

        if is_closed_pipe(e):
            return 1  # whoever read it has seen enough
        if wants_json(arguments) and not printed:
            show_document(e)
        if _debugging(arguments):
            raise
        return show(e)


def _debugging(arguments: list[str]) -> bool:
    """Read by hand, since it must hold for a failure to parse as well. Only before the command's name."""
    if os.environ.get("REVETL_DEBUG", "").lower() in ("1", "true", "yes", "on"):
        return True
    values = False
    for argument in arguments:
        if not argument.startswith("-") and not values:
            return False
        if argument == "--debug":
            return True
        values = argument in ("--log-format", "--log-file")
    return False


def _code(result: Any) -> int:
    """A command may return its exit code; nothing returned is success."""
    return result if isinstance(result, int) else 0


if __name__ == "__main__":
    main()
