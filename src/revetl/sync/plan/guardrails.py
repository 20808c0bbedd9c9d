"""What stops a run before anything is sent. All that is broken is found and said at once; what a person lets
pass all the same (`--allow`) is kept with the run.

One is broken and not allowed → GuardrailError (exit 3): the run's row says stopped, the plan stays to be looked at, and
the next run plans anew. Nothing here reads the destination or changes state.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from revetl.errors import GuardrailError
from revetl.model import SyncSpec
from revetl.state.sync_tables import SyncField, SyncTables
from revetl.sync.links.links_table import LinkCounts
from revetl.warehouse.sql import ident

SAGA = "saga"  # stopped by what would fail of its saga: no word of `--allow`, since it would be taken back
NAMES = ("changed", "deleted", "unlinked", "creates", "rows", "fill", "restored")


@dataclass(frozen=True, slots=True)
class GuardrailViolation:
    """`guardrail`: the word that `--allow` takes, where it is one of `NAMES`. The message has names and numbers, no
    values."""

    guardrail: str
    message: str


def judge_rows(spec: SyncSpec, source_rows: int) -> list[GuardrailViolation]:
    least = spec.guardrails.min_rows
    if source_rows >= least:
        return []
    message = f"the model has {source_rows:,} row(s), fewer than guardrails.min_rows = {least:,}"
    if not source_rows and not spec.forgets:
        message += "; where a model holds only what differs, write `on_leave: forget`: then it may be empty"
    return [GuardrailViolation("rows", message)]


def judge_shares(
    tables: SyncTables, snapshot_rows: int, cleared: int, *, full_refresh: bool
) -> list[GuardrailViolation]:
    """Of the frozen plan: the shares of the known records that would be updated and deleted. `cleared`: updates that
    count as deletes too. A full refresh may update all of them."""
    rails = tables.spec.guardrails
    limits = (("changed", "update", rails.max_changed_share), ("deleted", "delete", rails.max_deleted_share))
    if not snapshot_rows or all(limit is None for _, _, limit in limits):
        return []
    # What was refused and is tried again was judged when it was first planned.
    ops = tables.warehouse.counts(
        f"""
        SELECT op, count(*)
        FROM {tables.plan}
        WHERE known AND tries = 0 AND outcome IS NULL
        GROUP BY 1
        """
    )
    ops["delete"] = ops.get("delete", 0) + cleared
    return [
        GuardrailViolation(
            word,
            f"{ops[op]:,} of {snapshot_rows:,} records ({ops[op] / snapshot_rows:.0%}) would be {word} and"
            f" guardrails.max_{word}_share is {limit:.0%}",
        )
        for word, op, limit in limits
        if limit is not None and ops.get(op, 0) / snapshot_rows > limit and not (full_refresh and word == "changed")
    ]


def cleared(tables: SyncTables, *, again: bool = False) -> int:
    """Records that left the model and lose their values at the destination (`on_leave: clear`), to be counted with the
    deletes; `again`: only those that were refused before. While the scratch table of the comparison is there."""
    if tables.spec.mode != "mirror" or tables.spec.on_leave != "clear":
        return 0
    return tables.warehouse.scalar(
        f"""
        SELECT count(*)
        FROM {tables.plan} p
        JOIN {tables.scratch("delta")} d ON d.known_key = p.key
        WHERE d.present IS NULL AND p.known AND p.op = 'update' {"AND p.tries > 0" if again else ""}
        """,
        int,
    )


def judge_creates(spec: SyncSpec, creates: int) -> list[GuardrailViolation]:
    """After matching: what stands at the destination already is not created."""
    most = spec.guardrails.max_creates
    if most is None or creates <= most:
        return []
    return [
        GuardrailViolation("creates", f"{creates:,} records would be created and guardrails.max_creates is {most:,}")
    ]


def judge_links(spec: SyncSpec, counts: LinkCounts) -> list[GuardrailViolation]:
    """A model that lost a column of links would unlink everything, and empty lists of their members: the share of
    removals is guarded like deletes."""
    rails = spec.guardrails
    word = "deleted" if rails.max_unlinked_share is None else "unlinked"
    limit = rails.max_deleted_share if rails.max_unlinked_share is None else rails.max_unlinked_share
    if limit is None or not counts.known or counts.unlink <= rails.few_unlinked:
        return []
    share = counts.unlink / counts.known
    if share <= limit:
        return []
    message = (
        f"{counts.unlink:,} of {counts.known:,} links ({share:.0%}) would be removed and"
        f" guardrails.max_{word}_share is {limit:.0%}"
    )
    return [GuardrailViolation(word, message)]


def judge_fill(
    tables: SyncTables, source: str, source_rows: int, snapshot_rows: int, differing: int
) -> list[GuardrailViolation]:
    """Fields whose share of rows with a value collapses: those that a null of ours would clear. A field with a policy
    is none of them, and its snapshot holds what people wrote, which our model never had. `source`: the table to count
    in.

    A share can fall by at most 2 × differing / snapshot_rows, so the columns are counted only where so many rows differ
    that a drop of the forbidden size is possible at all.
    """
    spec, limit = tables.spec, tables.spec.guardrails.max_fill_drop
    fields = [f for f in tables.fields if not f.keep_null and spec.rule(f.name).policy == "always"]
    if spec.forgets:  # what differs today is no sample of what is known
        return []
    if limit is None or not fields or not source_rows or not snapshot_rows or 2 * differing / snapshot_rows <= limit:
        return []
    before = _filled(tables, tables.snapshot, [_value_or_null(f, ident(f.stored)) for f in fields])
    after = _filled(tables, source, [_value_or_null(f, tables.value(f)) for f in fields])
    shares = [(f, b / snapshot_rows, a / source_rows) for f, b, a in zip(fields, before, after, strict=True)]
    return [_collapsed(f, b, a, limit) for f, b, a in shares if b - a > limit]


def _value_or_null(field: SyncField, column: str) -> str:
    """An empty text is no value: whether a loader writes that or null says nothing."""
    return f"nullif({column}, '')" if field.type == "VARCHAR" else column


def _filled(tables: SyncTables, of: str, columns: Sequence[str]) -> list[int]:
    counts = ", ".join(f"count({column})" for column in columns)
    return tables.warehouse.numbers(f"SELECT {counts} FROM {of}")


def _collapsed(field: SyncField, before: float, after: float, limit: float) -> GuardrailViolation:
    return GuardrailViolation(
        "fill",
        f"{field.name} has a value in {after:.0%} of the rows and had one in {before:.0%};"
        f" guardrails.max_fill_drop is {limit:.0%}",
    )


def overridden(sync: str, violations: Sequence[GuardrailViolation], allow: Collection[str]) -> dict[str, str]:
    """What `allow` lets pass, guardrail → messages. GuardrailError with everything that it does not let pass."""
    refused = [v for v in violations if v.guardrail not in allow]
    if refused:
        words = ",".join(dict.fromkeys(v.guardrail for v in refused if v.guardrail in NAMES))
        all_the_same = f"; `--allow {words}` sends it all the same" if words else ""
        raise GuardrailError(
            f"{sync}: nothing was sent"
            + "".join(f"\n  - {v.message}" for v in refused)
            + f"\n  Look at it with `revetl plan`{all_the_same}."
        )
    passed: dict[str, str] = {}
    for v in violations:
        passed[v.guardrail] = f"{passed[v.guardrail]}; {v.message}" if v.guardrail in passed else v.message
    return passed
