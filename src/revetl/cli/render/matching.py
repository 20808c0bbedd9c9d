"""What `revetl match` says: tables that fit 80 columns, and Markdown for a pull request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import log2
from typing import TYPE_CHECKING, Any

from revetl.safe_text import for_markdown, for_markup

if TYPE_CHECKING:
    from rich.console import Console

    from revetl.golden.clusters import ClusterChange, Score
    from revetl.usecases.match import Evaluation, MatchDiff, Training

_SHOWN = 20  # changes
_KINDS = {"merged": "became one", "split": "fell apart", "moved": "were put together anew"}


def training_document(training: Training) -> dict[str, Any]:
    learned = training.learned
    return {
        "model": training.model,
        "m": learned.m,
        "u": learned.u,
        "matches": learned.matches,
        "rounds": learned.rounds,
        "n_records": training.n_records,
        "n_candidates": training.n_candidates,
        "n_patterns": training.n_patterns,
        "path": str(training.file.path),
        "version": training.file.version,
        "changed": training.file.changed,
    }


def show_training(screen: Console, training: Training) -> None:
    from rich.table import Table

    learned = training.learned
    screen.print(
        f"{training.n_records:,} records, {training.n_candidates:,} pairs compared, {training.n_patterns:,} patterns;"
        f" one pair of {1 / learned.matches:,.0f} is one person's."
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("column", overflow="fold")
    table.add_column("level")
    for heading in ("of one", "of two", "bits"):
        table.add_column(heading, justify="right", no_wrap=True)
    for column, levels in learned.m.items():
        for level, m in levels.items():
            u = learned.u[column][level]
            table.add_row(for_markup(column), level, f"{m:.4f}", f"{u:.6f}", f"{log2(m / u):+.1f}")
    screen.print(table)


def show_evaluation(screen: Console, evaluation: Evaluation) -> None:
    from rich.table import Table

    scores = evaluation.scores
    table = Table(box=None, pad_edge=False)
    table.add_column(f"{scores.n_records:,} records")
    for heading in ("precision", "recall", "F1"):
        table.add_column(heading, justify="right")
    for name, one in (("pairs", scores.pairs), ("exact clusters", scores.exact), ("B³", scores.b3)):
        table.add_row(name, *_figures(one))
    screen.print(table)
    for title, worst in (
        ("Clusters with the most wrong pairs", scores.worst_joins),
        ("Labels with the most pairs that were not found", scores.worst_misses),
    ):
        if worst:
            screen.print(f"\n{title}")
            for name, n in worst:
                screen.print(f"  {n:>7,}  {for_markup(name)}")
    if evaluation.unknown:
        screen.print(f"\n{evaluation.unknown:,} labels name no record of the model.")


def _figures(one: Score) -> tuple[str, str, str]:
    return f"{one.precision:.4f}", f"{one.recall:.4f}", f"{one.f1:.4f}"


def show_diff(screen: Console, found: MatchDiff) -> None:
    for sentence in _summary(found):
        screen.print(sentence)
    for change in found.changes[:_SHOWN]:
        screen.print(f"  {change.kind}: {for_markup(_arrow(change))}")
    if len(found.changes) > _SHOWN:
        screen.print(f"  … and {len(found.changes) - _SHOWN:,} more")


def diff_markdown(found: MatchDiff) -> str:
    """Ids and numbers only: no value of a record."""
    lines = ["### revetl match diff", "", *_summary(found)]
    if found.changes:
        lines += ["", "| | before | after | records |", "|---|---|---|---:|"]
        lines += [
            f"| {change.kind} | {for_markdown(_named(change.before))} | {for_markdown(_named(change.after))}"
            f" | {change.n_records:,} |"
            for change in found.changes[:_SHOWN]
        ]
        if len(found.changes) > _SHOWN:
            lines += ["", f"… and {len(found.changes) - _SHOWN:,} more."]
    return "\n".join(lines)


def _summary(found: MatchDiff) -> Iterator[str]:
    if not found.changes:
        yield f"No cluster differs: {found.unchanged:,} are the same."
    else:
        counts = [(kind, sum(len(c.before) for c in found.changes if c.kind == kind)) for kind in _KINDS]
        said = ", ".join(f"{n:,} {_KINDS[kind]}" for kind, n in counts if n)
        yield f"Of the clusters before, {said}; {found.unchanged:,} are the same."
    if found.gone or found.new:
        yield f"{found.gone:,} records are gone, {found.new:,} are new."


def _arrow(change: ClusterChange) -> str:
    return f"{_named(change.before)} → {_named(change.after)}"


def _named(clusters: Sequence[tuple[str, int]]) -> str:
    shown = " + ".join(f"{name} ({n:,})" for name, n in clusters[:4])
    return shown + (f" + {len(clusters) - 4} more" if len(clusters) > 4 else "")
