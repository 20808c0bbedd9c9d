"""`revetl sandbox`: local vendors to work against, sources to play with, and what the vendors have seen."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from revetl.cli.commands import sandbox_clone
from revetl.cli.numbers import MOST, MOST_DAYS, FiniteRange, whole_number
from revetl.cli.options import emit_json, err_console, json_option
from revetl.cli.output import echo
from revetl.cli.waiting import wait_option

if TYPE_CHECKING:
    from revetl.sandbox.data_vendors.population import Population
    from revetl.sandbox.vendor import SandboxVendor

DEFAULT_URL = "http://127.0.0.1:8765"
_FILE = click.Path(dir_okay=False, path_type=Path)
_DIRECTORY = click.Path(file_okay=False, path_type=Path)


_MOST_RECORDS = 10**9


class _Count(click.ParamType[int]):
    """A whole number that may be written as 5_000_000."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            number = int(value)
        except ValueError:
            self.fail(f"{value!r} is not a whole number", param, ctx)
        if not 1 <= number <= _MOST_RECORDS:
            self.fail(f"{number} is not between 1 and {_MOST_RECORDS}", param, ctx)
        return number


@click.group("sandbox")
def command() -> None:
    """Serve local vendors, and make sources to play with."""


@command.command("start")
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0 takes a free one.")
@click.option("--data-dir", type=_DIRECTORY, help="Keep the destinations' records here: they survive a restart.")
@click.option("--truth", type=_DIRECTORY, help="The truth that the data providers answer from (see `generate`).")
@click.option(
    "--seed",
    type=whole_number(-MOST),
    default=0,
    show_default=True,
    help="Another seed, and the providers know other things.",
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="VENDOR.OPTION=VALUE",
    help="An option of one vendor; `revetl sandbox vendors` lists them. May be repeated.",
)
@click.option("--search-lag", type=FiniteRange(0, 86_400), hidden=True, help="Goes away: use --set.")
@click.option("--no-limits", is_flag=True, help="Never throttle: for measuring.")
@click.option(
    "--population",
    type=_FILE,
    help="YAML: how much of the truth each provider knows, where it differs from the default.",
)
@click.option(
    "--hit-rate",
    "hit_rates",
    multiple=True,
    metavar="VENDOR[.FIELD]=RATE",
    help="The share that a provider knows, as in hunter.email=0.4. May be repeated.",
)
@click.option(
    "--job-seconds", type=FiniteRange(0, 86_400), default=2.0, show_default=True, help="How long a vendor's job takes."
)
@click.option("--ready-file", type=_FILE, help="Write the base URL here once it listens.")
def start(
    port: int,
    data_dir: Path | None,
    truth: Path | None,
    seed: int,
    assignments: tuple[str, ...],
    search_lag: float | None,
    no_limits: bool,
    population: Path | None,
    hit_rates: tuple[str, ...],
    job_seconds: float,
    ready_file: Path | None,
) -> None:
    """Serve every vendor on 127.0.0.1 until interrupted: `revetl sandbox vendors` lists them, with their paths.

    Any token and any API key is taken, except one with `bad` in it.
    """
    from revetl.errors import ConfigError
    from revetl.sandbox import registry, server
    from revetl.sandbox.settings import SandboxSettings
    from revetl.sandbox.vendor import mount_of

    err = err_console()

    def ready(base_url: str) -> None:
        err.print(f"Sandbox at {base_url}. Stop with ctrl-C.", markup=False, soft_wrap=True)
        for name, vendor in registry.vendors().items():
            err.print(f"  {name:<20}{base_url}{mount_of(vendor)}", markup=False, soft_wrap=True)
        if ready_file is not None:
            aside = ready_file.with_name(f"{ready_file.name}.new")
            aside.write_text(base_url, "utf-8")
            aside.replace(ready_file)

    try:
        settings = SandboxSettings(
            data_dir=data_dir,
            truth=truth,
            seed=seed,
            limited=not no_limits,
            population=_population(population, hit_rates),
            job_s=job_seconds,
            vendors=_vendor_options(assignments, search_lag),
        )
        server.serve(settings, port, ready)
    except ConfigError as e:
        raise click.UsageError(str(e)) from e
    except OSError as e:
        if e.errno != errno.EADDRINUSE:
            raise
        from revetl.usecases.init_texts import SANDBOX_VARIABLE

        raise click.UsageError(
            f"port {port} is taken. `--port 0` takes a free one; {SANDBOX_VARIABLE} and REVETL_SANDBOX_URL then say"
            " where the sandbox is, to connections.yml as it was written."
        ) from None


def _vendor_options(assignments: tuple[str, ...], search_lag: float | None) -> dict[str, dict[str, Any]]:
    """`--set VENDOR.OPTION=VALUE` by vendor, values read as YAML; ConfigError for a vendor or an option that is not
    there, before anything is served."""
    import yaml

    from revetl.errors import ConfigError, did_you_mean
    from revetl.sandbox import registry

    if not assignments and search_lag is None:
        return {}
    classes = registry.vendors()
    given = _search_lag_options(classes, search_lag)
    for assignment in assignments:
        where, equals, value = assignment.partition("=")
        vendor, dot, option = where.strip().partition(".")
        if not equals or not dot:
            raise click.UsageError(f"--set takes VENDOR.OPTION=VALUE, not {assignment!r}")
        if vendor not in classes:
            raise ConfigError(
                f"no vendor of the sandbox is called {vendor!r}", hint=did_you_mean(vendor, list(classes))
            )
        try:
            given.setdefault(vendor, {})[option] = yaml.safe_load(value)
        except yaml.YAMLError as e:
            raise click.UsageError(f"--set {where}: {value!r} can't be read") from e
    for vendor, options in given.items():
        registry.vendor_options(vendor, classes[vendor], options)
    return given


def _search_lag_options(classes: dict[str, type[SandboxVendor]], search_lag: float | None) -> dict[str, dict[str, Any]]:
    """What --search-lag meant before vendors had options of their own: the lag of every vendor that has one."""
    if search_lag is None:
        return {}
    lagging = [name for name, vendor in classes.items() if "search_lag_s" in vendor.Options.model_fields]
    instead = " ".join(f"--set {name}.search_lag_s={search_lag:g}" for name in lagging)
    err_console().print(f"--search-lag goes away in the next release. Use: {instead}", markup=False, soft_wrap=True)
    return {name: {"search_lag_s": search_lag} for name in lagging}


def _population(path: Path | None, hit_rates: tuple[str, ...]) -> Population:
    from revetl.sandbox.data_vendors.population import Population, PopulationError, read_population

    try:
        population = Population() if path is None else read_population(path)
        for said in hit_rates:
            where, _, rate = said.partition("=")
            population = population.with_rate(where.strip(), float(rate))
    except PopulationError as e:
        raise click.UsageError(str(e)) from e
    except OSError as e:
        raise click.UsageError(f"--population: {path} cannot be read: {e.strerror}") from e
    except ValueError as e:
        raise click.UsageError(f"--hit-rate takes VENDOR[.FIELD]=RATE, not {said!r}") from e
    return population


@command.command("vendors")
@json_option
def vendors(as_json: bool) -> None:
    """List the vendors that `start` serves: where each answers, and which options `--set` takes for it."""
    from revetl.errors import ConfigError
    from revetl.sandbox import registry
    from revetl.sandbox.vendor import mount_of

    try:
        classes = registry.vendors()
    except ConfigError as e:
        raise click.UsageError(str(e)) from e
    listed: list[dict[str, Any]] = [
        {
            "vendor": name,
            "path": mount_of(vendor) or "/",
            "options": vendor.Options().model_dump(mode="json"),
        }
        for name, vendor in classes.items()
    ]
    if as_json:
        emit_json(listed)
        return
    for row in listed:
        options = " ".join(f"{option}={_as_yaml(value)}" for option, value in row["options"].items())
        echo(f"{row['vendor']:<20}{row['path']:<30}{options}".rstrip())


def _as_yaml(value: Any) -> str:
    return "null" if value is None else str(value)


@command.command("generate")
@click.option(
    "--records", metavar="N", type=_Count(), default=3000, show_default=True, help="Source records, e.g. 5_000_000."
)
@click.option(
    "--seed", metavar="N", type=whole_number(-MOST), default=7, show_default=True, help="Another seed, other customers."
)
@click.option(
    "--day",
    metavar="N",
    type=whole_number(most=MOST_DAYS),
    default=1,
    show_default=True,
    help="Day 2 is day 1 with some changes.",
)
@click.option("--database", type=_FILE, default=Path("warehouse.duckdb"), show_default=True, help="A DuckDB file.")
@click.option("--truth", type=_DIRECTORY, default=Path("truth"), show_default=True, help="Where the truth is written.")
@click.option("-t", "--target", help="Load them into this target of profiles.yml, in place of a DuckDB file.")
@wait_option
@json_option
def generate(
    records: int, seed: int, day: int, database: Path, truth: Path, target: str | None, wait_s: float, as_json: bool
) -> None:
    """Make the sources of a fictional company: CRM, billing, product and support that disagree.

    Replaces the raw schemas of the database. The truth behind them goes into files that no model reads.
    """
    from revetl.sandbox import sources

    if target is None:
        made = sources.generate(database, truth, records=records, seed=seed, day=day)
    else:
        made = _generate_into(target, truth, records, seed, day, wait_s)
    if as_json:
        emit_json(made)
        return
    for name, rows in made.items():
        echo(f"{name:<28}{rows:>12,}")


@command.command("stats")
@click.option("--url", default=DEFAULT_URL, show_default=True, envvar="REVETL_SANDBOX_URL", help="Where it listens.")
@json_option
def stats(url: str, as_json: bool) -> None:
    """Show what a running sandbox has seen: requests, records, what the providers charged."""
    seen = _fetch_stats(url)
    if as_json:
        emit_json(seen)
        return
    for name, counts in seen.items():
        if name not in ("requests", "providers"):
            _print_counts(name, counts)
    for name, bill in seen["providers"].items():
        echo(f"{name}: {bill['requests']:,} requests, ${bill['charged_usd']:,.2f}")
    echo("Routes")
    for route, count in sorted(seen["requests"]["by_route"].items(), key=lambda item: -item[1]):
        echo(f"  {count:>8,}  {route}")


def _print_counts(vendor: str, counts: dict[str, Any]) -> None:
    """Its counts in one line, then each mapping of counts on lines of its own."""
    plain = {name: count for name, count in counts.items() if isinstance(count, int | float)}
    echo(f"{vendor}: " + ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in plain.items()))
    for name, group in counts.items():
        if isinstance(group, dict):
            for member, count in group.items():
                shown = f"{count:,}" if isinstance(count, int | float) else str(count)
                echo(f"  {name + ' ' + member:<34}{shown:>12}")


def _fetch_stats(url: str) -> dict[str, Any]:
    """Of the sandbox at `url`; a usage error where nothing, or something else, answers there."""
    from revetl.sandbox.process import read_stats

    if not url.startswith("http://"):
        raise click.UsageError(f"--url must start with http://, not {url!r}")
    try:
        return read_stats(url)
    except (OSError, ValueError) as e:
        raise click.UsageError(f"No sandbox answers at {url}. Start one with `revetl sandbox start`.") from e


def _generate_into(target: str, truth: Path, records: int, seed: int, day: int, wait_s: float) -> dict[str, int]:
    """Made in a DuckDB file of their own, then copied into the target's warehouse."""
    from contextlib import closing
    from tempfile import TemporaryDirectory

    from revetl import project
    from revetl.cli.terminal import Terminal
    from revetl.model import Relation
    from revetl.sandbox import sources
    from revetl.warehouse.copying import copy_tables
    from revetl.warehouse.duckdb import DuckDBWarehouse

    caller = Terminal(wait_s).caller
    with caller.warehouse(project.load(None, None, target)) as warehouse, TemporaryDirectory() as directory:
        file = Path(directory) / "sources.duckdb"
        made = sources.generate(file, truth, records=records, seed=seed, day=day)
        with closing(DuckDBWarehouse(file, read_only=True)) as here:
            return copy_tables(here, warehouse, [Relation(*name.split(".", 1)) for name in made])


command.add_command(sandbox_clone.clone_account, "clone")
