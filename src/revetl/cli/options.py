"""What commands share: dbt's flags with dbt's meaning, one JSON document on stdout, progress on stderr."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click

from revetl.cli import completing
from revetl.cli.numbers import usd, whole_number
from revetl.cli.output import echo_json

if TYPE_CHECKING:
    from rich.console import Console

    from revetl.project import Project

F = TypeVar("F", bound=Callable[..., Any])

_DIRECTORY = click.Path(file_okay=False, path_type=Path)


@dataclass(frozen=True, slots=True)
class ProjectOptions:
    """The flags that say which project, and under which target it runs."""

    project_dir: Path | None = None
    profiles_dir: Path | None = None
    target: str | None = None
    vars: str | None = None
    target_path: Path | None = None
    profile: str | None = None

    def as_flags(self) -> list[str]:
        """The same for a command of ours in another process, whose working directory is this one."""
        given = {
            "--project-dir": self.project_dir,
            "--profiles-dir": self.profiles_dir,
            "--target": self.target,
            "--vars": self.vars,
            "--target-path": self.target_path,
            "--profile": self.profile,
        }
        return [word for flag, value in given.items() if value is not None for word in (flag, str(value))]

    def load(self) -> Project:
        """Reads the project; ConfigError with every mistake in its files."""
        from revetl import project

        return project.load(self.project_dir, self.profiles_dir, self.target, self.vars, self.target_path, self.profile)


def project_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --project-dir, --profiles-dir, --profile, --target/-t, --target-path and --vars, handed over as
    `options: ProjectOptions`."""

    @click.option(
        "--project-dir",
        type=_DIRECTORY,
        envvar="REVETL_PROJECT_DIR",
        help="Where revetl.yml is. Default: here or above.",
    )
    @click.option("--profiles-dir", type=_DIRECTORY, help="Where profiles.yml is. Default: looked for as dbt does.")
    @click.option("--profile", help="The profile in it. Default: the one that dbt_project.yml names.")
    @click.option(
        "-t",
        "--target",
        shell_complete=completing.targets,
        help="The target of profiles.yml. Default: the profile's own.",
    )
    @click.option("--target-path", type=_DIRECTORY, help="Where dbt keeps its artifacts. Default: as dbt itself.")
    @click.option("--vars", "vars_", help="dbt variables, as YAML.")
    @functools.wraps(function)
    def wrapper(
        *args: Any,
        project_dir: Path | None,
        profiles_dir: Path | None,
        profile: str | None,
        target: str | None,
        target_path: Path | None,
        vars_: str | None,
        **kwargs: Any,
    ) -> Any:
        options = ProjectOptions(project_dir, profiles_dir, target, vars_, target_path, profile)
        return function(*args, options=options, **kwargs)

    return wrapper


def select_options(function: F) -> F:
    """Adds --select/-s and --exclude as `select` and `exclude`: tuples of dbt selectors."""
    function = click.option(
        "--exclude",
        multiple=True,
        callback=_words,
        shell_complete=completing.syncs,
        metavar="SELECTOR",
        help="Leave these out. May be repeated.",
    )(function)
    return click.option(
        "-s",
        "--select",
        multiple=True,
        callback=_words,
        shell_complete=completing.syncs,
        metavar="SELECTOR",
        help="Only these: a name, tag:…, path:…, * and +name+ as in dbt. May be repeated.",
    )(function)


def full_refresh_option(function: F) -> F:
    """Adds --full-refresh as `full_refresh`."""
    said = "Send every record of the models whole, and every link, changed or not."
    return click.option("--full-refresh", is_flag=True, help=said)(function)


def threads_option(function: F) -> F:
    """Adds --threads as `threads`, for dbt."""
    said = "How many models dbt builds at once. Default: as the profile says."
    return click.option("--threads", metavar="N", type=whole_number(most=10_000), help=said)(function)


def allow_option(function: F) -> F:
    """Adds --allow as `allow`: guardrails that may be passed in this run."""
    return click.option(
        "--allow",
        callback=_guardrails,
        metavar="NAMES",
        help="Pass these guardrails, and record it: changed, deleted, unlinked, creates, rows, fill, restored."
        " By commas.",
    )(function)


def _guardrails(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[str, ...]:
    from revetl.sync.plan.guardrails import NAMES

    names = tuple(word.strip() for word in (value or "").split(",") if word.strip())
    for name in names:
        if name not in NAMES:
            raise click.BadParameter(f"{name!r} is no guardrail. Valid here: {', '.join(NAMES)}")
    return names


def max_spend_option(said: str) -> Callable[[F], F]:
    """Adds --max-spend as `max_spend`; `said` is its help."""
    return click.option("--max-spend", type=usd, metavar="USD", help=said)


def record_key(_ctx: click.Context, _param: click.Parameter, value: Any) -> Any:
    """Of an option that names one record or several. An empty text comes of a variable that nobody set."""
    if "" in (value if isinstance(value, tuple) else (value,)):
        raise click.BadParameter("an empty text names no record")
    return value


def json_option(function: F) -> F:
    """Adds --json as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")(function)


def _words(_ctx: click.Context, _param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word for item in value for word in item.split())


def emit_json(document: Any) -> None:
    """The one JSON document of a command, on stdout."""
    text = as_json_text(document)
    ctx = click.get_current_context(silent=True)
    if ctx is not None and isinstance(ctx.obj, list):
        ctx.obj.append("document")  # before it is written: half of one may stand there when that fails
    echo_json(text)


def as_json_text(document: Any, *, indent: int | None = 2) -> str:
    """For a document that is too large to hold and is written piece by piece."""
    return json.dumps(document, indent=indent, default=_plain, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal | Path):
        return str(value)
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def console() -> Console:
    """Results, on stdout. Plain text without colour where NO_COLOR is set or nobody looks."""
    return _console(stderr=False)


def err_console() -> Console:
    """What has to be read whatever else is left out, on stderr."""
    return _console(stderr=True)


def notes_console() -> Console:
    """The same for progress and notes, which --quiet leaves out."""
    from revetl.cli.logs import is_quiet

    return _console(stderr=True, quiet=is_quiet())


def _console(*, stderr: bool, quiet: bool = False) -> Console:
    from revetl.cli.safe_console import SafeConsole

    stream = sys.stderr if stderr else sys.stdout
    # Rich takes 80 columns where there is no terminal, and would wrap what a script is about to read.
    width = None if stream.isatty() or "COLUMNS" in os.environ else 200
    return SafeConsole(
        file=stream,
        quiet=quiet,
        no_color=bool(os.environ.get("NO_COLOR")),
        highlight=False,
        emoji=False,  # `:x:` in a value is three characters
        soft_wrap=False,
        width=width,
    )
