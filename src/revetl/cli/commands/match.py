"""`revetl match`: what matching learns from the data, how good it is, and what a change of it changes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import rich_click as click

from revetl.cli.numbers import MOST, whole_number
from revetl.cli.options import ProjectOptions, console, emit_json, err_console, json_option, project_options
from revetl.cli.output import echo
from revetl.cli.terminal import Terminal
from revetl.cli.waiting import wait_option
from revetl.safe_text import for_markup

_ENTITY = click.option("--entity", type=click.Choice(["contact", "company"]), help="Of golden_members: which kind.")


@click.group("match")
def command() -> None:
    """Learn the weights of matching from the data, score its clusters, and see what a change of it changes."""


@command.command("train")
@project_options
@click.argument("patterns")
@click.option("--dry-run", is_flag=True, help="Show the weights and write nothing.")
@wait_option
@json_option
def train(options: ProjectOptions, patterns: str, dry_run: bool, wait_s: float, as_json: bool) -> None:
    """Learn from PATTERNS, a model of the macro `matching_patterns`, how often records of one person agree in each
    column and how often those of two people do. No labels are needed.

    Writes the seed `matching_weights`, which a model of pairs uses that names it:
    `matching_pairs(ref('records'), weights=ref('matching_weights'))`.
    """
    from revetl.cli.render.matching import show_training, training_document
    from revetl.usecases.match import train as learn

    project = options.load()
    with Terminal(wait_s) as terminal:
        training = learn(project, patterns, terminal.caller)
    if not dry_run:
        training.file.write()
    if as_json:
        emit_json({**training_document(training), "written": not dry_run})
        return
    show_training(console(), training)
    said = "Nothing is written" if dry_run else f"Version {training.file.version} is in {training.file.path}"
    err_console().print(said if training.file.changed else f"{said}; the weights are as they were")


@command.command("evaluate")
@project_options
@click.argument("model")
@click.argument("labels", type=click.Path(dir_okay=False, path_type=Path))
@_ENTITY
@click.option("--pairs", metavar="MODEL", help="Whose weights the threshold curve is of. Default: those MODEL goes by.")
@click.option("--svg", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Draw that curve.")
@wait_option
@json_option
def evaluate(
    options: ProjectOptions,
    model: str,
    labels: Path,
    entity: str | None,
    pairs: str | None,
    svg: Path | None,
    wait_s: float,
    as_json: bool,
) -> None:
    """Score the clusters of MODEL against LABELS, a CSV with a head and on each line a record and its true cluster.
    Records without a label count nowhere. Or LABELS is a file of `match review` that a person has filled in: then
    precision and recall are estimated, each with an interval that holds it with 95 % probability.

    MODEL has a row per record with its cluster, such as golden_members or a model of the materialization `linkage`.
    """
    from revetl.cli.render.matching import show_evaluation
    from revetl.golden.pictures import curve_svg
    from revetl.usecases.match_scores import evaluate as scored

    project = options.load()
    with Terminal(wait_s) as terminal:
        evaluation = scored(project, model, labels, terminal.caller, entity=entity, pairs=pairs)
    if svg is not None:
        svg.write_text(curve_svg(evaluation.curve, f"{model}: what a threshold costs"), encoding="utf-8")
        err_console().print(f"Drawn to {for_markup(str(svg))}", soft_wrap=True)
    if as_json:
        emit_json(asdict(evaluation))
        return
    show_evaluation(console(), evaluation)


@command.command("review")
@project_options
@click.argument("pairs")
@click.argument("clusters")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default="review.csv", show_default=True)
@click.option("--pairs", "n_pairs", type=whole_number(most=10_000), default=200, show_default=True, help="How many.")
@click.option(
    "--seed", metavar="N", type=whole_number(-MOST), default=1, show_default=True, help="Another one draws other pairs."
)
@click.option("--records", metavar="MODEL", help="Whose values are shown. Default: those that PAIRS compares.")
@click.option("--column", "columns", multiple=True, metavar="NAME", help="Show this column only. May be repeated.")
@_ENTITY
@wait_option
@json_option
def review(
    options: ProjectOptions,
    pairs: str,
    clusters: str,
    out: Path,
    n_pairs: int,
    seed: int,
    records: str | None,
    columns: tuple[str, ...],
    entity: str | None,
    wait_s: float,
    as_json: bool,
) -> None:
    """Draw pairs of records for a person to judge, into a CSV that a spreadsheet opens: of what CLUSTERS puts together
    and of what it keeps apart, from each band of weights of PAIRS.

    Write yes or no into the column `same`, or leave it blank. The order is shuffled, so half of it answered from the
    top is half a sample. Then `revetl match evaluate CLUSTERS FILE`. The file holds personal data, and is for its
    owner's eyes only."""
    from revetl.cli.render.matching import review_document, show_review
    from revetl.usecases.match_scores import ReviewRequest
    from revetl.usecases.match_scores import review as drawn

    project = options.load()
    request = ReviewRequest(pairs, clusters, out, entity, records, columns, n_pairs, seed)
    with Terminal(wait_s) as terminal:
        found = drawn(project, request, terminal.caller)
    if as_json:
        emit_json(review_document(found))
        return
    show_review(console(), found)


@command.command("diff")
@project_options
@click.argument("before")
@click.argument("model", default="golden_members")
@click.option("--format", "form", type=click.Choice(["text", "markdown", "json"]), default="text", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--exit-code", is_flag=True, help="End with 1 where anything differs.")
@wait_option
def diff(
    options: ProjectOptions, before: str, model: str, form: str, as_json: bool, exit_code: bool, wait_s: float
) -> int:
    """Show whom a change of matching makes one and whom it takes apart: MODEL (golden_members) as it is now against the
    table BEFORE, `schema.table`, or a schema that holds a table of the same name. Records that one side alone has are
    counted apart.

    For a pull request: build the branch into a schema of its own, then
    `revetl match diff analytics --target ci --format markdown`.
    """
    from revetl.cli.render.matching import diff_markdown, show_diff
    from revetl.usecases.match import diff as compared

    project = options.load()
    with Terminal(wait_s) as terminal:
        found = compared(project, model, before, terminal.caller)
    if as_json or form == "json":
        emit_json(asdict(found))
    elif form == "markdown":
        echo(diff_markdown(found))
    else:
        show_diff(console(), found)
    return int(exit_code and bool(found.changes))
