"""What stops a run before anything is sent. All that is broken is found, so that it is told at once; what a person lets
pass all the same (`--allow`) is kept with the run.

One is broken and not allowed → GuardrailError (exit 3): the run's row says stopped, the plan stays to be looked at, and
the next run plans anew. Nothing here reads the destination or changes state.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from revetl.errors import GuardrailError
from revetl.model import Relation
from revetl.state.sync_tables import Field, Layout
from revetl.warehouse.base import Warehouse

NAMES = ("changed", "deleted", "creates", "rows", "fill")


@dataclass(frozen=True, slots=True)
class Violation:
    """`guardrail` is the word that `--allow` takes. The message has names and numbers, no values."""

    guardrail: str
    message: str


def judge_rows(layout: Layout, source_rows: int) -> list[Violation]:
    least = layout.spec.guardrails.min_rows
    if source_rows >= least:
        return []
    return [Violation("rows", f"the model has {source_rows:,} row(s), fewer than guardrails.min_rows = {least:,}")]


def judge_shares(warehouse: Warehouse, layout: Layout, snapshot_rows: int) -> list[Violation]:
    """Of the frozen plan: the shares of the known records that would be updated and deleted."""
    rails = layout.spec.guardrails
    limits = (("changed", "update", rails.max_changed_share), ("deleted", "delete", rails.max_deleted_share))
    if not snapshot_rows or all(limit is None for _, _, limit in limits):
        return []
    found = warehouse.rows(f"SELECT op, count(*) FROM {layout.t(layout.plan)} WHERE known GROUP BY 1")
    ops = {str(op): int(str(n)) for op, n in found}
    ops["delete"] = ops.get("delete", 0) + cleared(warehouse, layout)
    return [
        Violation(
            word,
            f"{ops[op]:,} of {snapshot_rows:,} records ({ops[op] / snapshot_rows:.0%}) would be {word} and"
            f" guardrails.max_{word}_share is {limit:.0%}",
        )
        for word, op, limit in limits
        if limit is not None and ops.get(op, 0) / snapshot_rows > limit
    ]


def cleared(warehouse: Warehouse, layout: Layout) -> int:
    """Records that left the model and lose their values at the destination (`on_leave: clear`), to be counted with the
    deletes. While the scratch table of the comparison is there."""
    if layout.spec.mode != "mirror" or layout.spec.on_leave != "clear":
        return 0
    found = warehouse.rows(
        f"""
        SELECT count(*)
        FROM {layout.t(layout.plan)} p
        JOIN {layout.t(layout.scratch("delta"))} d ON d.known_key = p.key
        WHERE d.present IS NULL AND p.known AND p.op = 'update'
        """
    )
    return int(str(found[0][0]))


def judge_creates(layout: Layout, creates: int) -> list[Violation]:
    """After matching: what stands at the destination already is not created."""
    most = layout.spec.guardrails.max_creates
    if most is None or creates <= most:
        return []
    return [Violation("creates", f"{creates:,} records would be created and guardrails.max_creates is {most:,}")]


def judge_fill(
    warehouse: Warehouse, layout: Layout, source: Relation, source_rows: int, snapshot_rows: int, differing: int
) -> list[Violation]:
    """Fields whose share of rows with a value collapses: those that a null of ours would clear. A field with a policy
    is none of them, and its snapshot holds what people wrote, which our model never had.

    A share can fall by at most 2 × differing / snapshot_rows, so the columns are counted only where so many rows differ
    that a drop of the forbidden size is possible at all.
    """
    limit = layout.spec.guardrails.max_fill_drop
    fields = [f for f in layout.fields if not f.keep_null and layout.spec.rule(f.name).policy == "always"]
    if limit is None or not fields or not source_rows or not snapshot_rows or 2 * differing / snapshot_rows <= limit:
        return []
    before = _filled(warehouse, [layout.q(f.stored) for f in fields], layout.t(layout.snapshot))
    after = _filled(warehouse, [layout.value(f) for f in fields], layout.t(source))
    shares = [(f, b / snapshot_rows, a / source_rows) for f, b, a in zip(fields, before, after, strict=True)]
    return [_collapsed(f, b, a, limit) for f, b, a in shares if b - a > limit]


def _filled(warehouse: Warehouse, columns: Sequence[str], table: str) -> list[int]:
    counts = ", ".join(f"count({column})" for column in columns)
    return [int(str(n)) for n in warehouse.rows(f"SELECT {counts} FROM {table}")[0]]


def _collapsed(field: Field, before: float, after: float, limit: float) -> Violation:
    return Violation(
        "fill",
        f"{field.name} has a value in {after:.0%} of the rows and had one in {before:.0%};"
        f" guardrails.max_fill_drop is {limit:.0%}",
    )


def overridden(sync: str, violations: Sequence[Violation], allow: Collection[str]) -> dict[str, str]:
    """What `allow` lets pass, guardrail → messages. GuardrailError with everything that it does not let pass."""
    refused = [v for v in violations if v.guardrail not in allow]
    if refused:
        words = ",".join(dict.fromkeys(v.guardrail for v in refused))
        raise GuardrailError(
            f"{sync}: nothing was sent"
            + "".join(f"\n  - {v.message}" for v in refused)
            + f"\n  Look at it with `revetl plan`; `--allow {words}` sends it all the same."
        )
    passed: dict[str, str] = {}
    for v in violations:
        passed[v.guardrail] = f"{passed[v.guardrail]}; {v.message}" if v.guardrail in passed else v.message
    return passed
