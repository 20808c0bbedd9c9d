"""`revetl completion`: the script with which a shell completes commands, options and names."""

from __future__ import annotations

import rich_click as click

from revetl.cli.output import echo

SHELLS = ("bash", "zsh", "fish")


@click.command(short_help="Print the script that completes words in a shell.")
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print the script that makes SHELL complete commands, options and the project's names: syncs, waterfalls,
    destinations, targets, runs. They are read from files; neither dbt nor the warehouse is asked.

    \b
    bash   eval "$(revetl completion bash)"      as a line of ~/.bashrc
    zsh    eval "$(revetl completion zsh)"       as a line of ~/.zshrc, after compinit
    fish   revetl completion fish > ~/.config/fish/completions/revetl.fish
    """
    from click.shell_completion import get_completion_class

    from revetl.cli.main import COMPLETE_VARIABLE, cli

    script = get_completion_class(shell)
    if script is None:  # a click without it
        raise click.UsageError(f"this click knows no completion for {shell}")
    echo(script(cli, {}, "revetl", COMPLETE_VARIABLE).source())
