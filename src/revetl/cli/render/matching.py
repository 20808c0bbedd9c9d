"""What `revetl match` says: tables that fit 80 columns, and Markdown for a pull request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from math import log2
from typing import TYPE_CHECKING, Any

from revetl.golden.curve import best_point
from revetl.safe_text import for_markdown, for_markup

if TYPE_CHECKING:
    from rich.console import Console

    from revetl.golden.clusters import ClusterChange, Score, Scores
    from revetl.golden.review.bands import Band
    from revetl.golden.review.estimate import ReviewScores
    from revetl.usecases.match import MatchDiff, Training
    from revetl.usecases.match_scores import Evaluation, MatchReview

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
    if evaluation.scores is not None:
        _show_scores(screen, evaluation.scores)
    if evaluation.review is not None:
        _show_review_scores(screen, evaluation.review)
    best = best_point(evaluation.curve)
    if best is not None:
        screen.print(
            f"\nPairs by their weight alone are best at {best.threshold:g} bits:"
            f" precision {best.score.precision:.4f}, recall {best.score.recall:.4f}, F1 {best.score.f1:.4f}."
        )
    if evaluation.unknown:
        what = "labels name no record" if evaluation.scores is not None else "pairs have a record that is none"
        screen.print(f"\n{evaluation.unknown:,} {what} of the model.")


def _show_scores(screen: Console, scores: Scores) -> None:
    from rich.table import Table

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


def _show_review_scores(screen: Console, scores: ReviewScores) -> None:
    from rich.table import Table

    screen.print(f"Estimated from {scores.n_answers:,} answers; with 95 % probability between the two figures behind.")
    for name, one in (("precision", scores.precision), ("recall", scores.recall)):
        said = "not known yet: a band below has no answer"
        if one is not None:
            said = f"{one.value:.3f}  ({one.low:.3f} to {one.high:.3f})"
        screen.print(f"  {name:<9}  {said}")
    screen.print(
        "Recall is of the pairs that were compared or joined: what no blocking rule brings together is not seen.\n"
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("band", overflow="fold")
    for heading in ("pairs", "yes", "no"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in scores.bands:
        yes, no = each.joined_yes + each.apart_yes, each.joined_no + each.apart_no
        table.add_row(for_markup(each.band.name), f"{each.band.n_pairs:,}", f"{yes:,}", f"{no:,}")
    screen.print(table)


def review_document(found: MatchReview) -> dict[str, Any]:
    """Without a value of a record."""
    drawn = Counter(pair.band for pair in found.pairs)
    return {
        "path": str(found.path),
        "n_pairs": len(found.pairs),
        "columns": list(found.columns),
        "bands": [{"band": band.name, "pairs": band.n_pairs, "drawn": n} for band, n in _by_band(drawn)],
    }


def show_review(screen: Console, found: MatchReview) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("band", overflow="fold")
    for heading in ("pairs", "drawn"):
        table.add_column(heading, justify="right", no_wrap=True)
    for band, n in _by_band(Counter(pair.band for pair in found.pairs)):
        table.add_row(for_markup(band.name), f"{band.n_pairs:,}", f"{n:,}")
    screen.print(table)
    screen.print(
        f"\n{len(found.pairs):,} pairs are in {for_markup(str(found.path))}: write yes or no into its first column.",
        soft_wrap=True,
    )


def _by_band(drawn: Counter[Band]) -> list[tuple[Band, int]]:
    return sorted(drawn.items(), key=lambda each: (not each[0].joined, each[0].name))


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
