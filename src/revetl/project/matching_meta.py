"""`config.meta.matching` of a model: by which columns its records are matched, how, and what decides alone.

The macros in dbt_project/macros/matching/ make SQL of it (docs/design/matching.md); dbt passes it through unseen. So
`revetl check` reads it here, and names a mistake with its line.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from revetl.documents import Document, Path_, parse, read_yaml
from revetl.errors import ConfigError, Problem, did_you_mean
from revetl.project.survivorship_meta import SurvivorshipMeta, survivorship_mistakes

FOLDER = "matching"  # inside the dbt project; one file per entity
DATE_PARTS = ("year", "month", "day")
START = "start"  # the first three letters

Kind = Literal["name", "text", "email", "phone", "domain", "date", "identifier"]
Share = Annotated[float, Field(gt=0, lt=1)]
_WITH_SIMILAR: tuple[Kind, ...] = ("name", "text", "date")


class _Meta(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AgreementMeta(_Meta):
    """Of pairs that are one person's or one company's, what share is on each level."""

    equal: Share | None = None
    similar: Share | None = Field(default=None, description="Of name, text and date only.")
    other: Share | None = None


class ColumnMeta(_Meta):
    kind: Kind = Field(description="How the column is normalised and which levels it has.")
    agreement: AgreementMeta = AgreementMeta()


class MatchingMeta(_Meta):
    """`config.meta.matching` of the model of pairs."""

    key: str = Field(description="The column that is unique and not null.")
    columns: dict[str, ColumnMeta] = Field(min_length=1, description="What is compared.")
    blocking: list[Annotated[list[str], Field(min_length=1)]] = Field(
        min_length=1,
        description="Records are compared where they share all columns of one of these lists. `born.year`, `.month` and"
        " `.day` are parts of a date, `name.start` the first three letters.",
    )
    evidence: list[Annotated[list[str], Field(min_length=2)]] = Field(
        default=[], description="Columns that are one piece of evidence: of them the one that says most counts."
    )
    rules: list[Annotated[list[str], Field(min_length=1)]] = Field(
        default=[], description="Records that are equal in all of these are one, whatever the rest says."
    )
    vetoes: list[str] = Field(default=[], description="Records that differ in one of these never are.")
    rule_weight: float = Field(default=10, gt=0, description="Bits that a rule is worth.")
    duplicates_per_record: float = Field(
        default=0.1, gt=0, lt=10, description="How many pairs of one person there are for each record, roughly."
    )
    max_records_per_block: int = Field(
        default=100, ge=2, description="In larger blocks each record meets its neighbours only."
    )
    neighbours: int = Field(default=10, ge=1, description="How many, to each side, in the order of all columns.")


def check_matching(dbt_dir: Path) -> int:
    """Every configuration in the folder `matching` of a dbt project. Returns how many there are: none is no mistake.

    Raises ConfigError with every mistake of all files, by line. Safe to repeat; reads only.
    """
    problems: list[Problem] = []
    found = 0
    for path in sorted((dbt_dir / FOLDER).glob("*.y*ml")):
        try:
            document = read_yaml(path)
        except ConfigError as e:
            problems += e.problems
            continue
        for at in _places(document):
            found += 1
            try:
                problems += _read(document, at)
            except ConfigError as e:
                problems += e.problems
    if problems:
        raise ConfigError(problems)
    return found


def _places(document: Document) -> Iterator[Path_]:
    models = document.data.get("models") if isinstance(document.data, dict) else None
    for i, _ in enumerate(models if isinstance(models, list) else []):
        for key in ("matching", "survivorship"):
            at: Path_ = ("models", i, "config", "meta", key)
            if at in document.lines:
                yield at


def _read(document: Document, at: Path_) -> list[Problem]:
    """ConfigError where it can't be read; else what is wrong in it all the same."""
    data = document.part(at).data
    if at[-1] == "survivorship":
        return survivorship_mistakes(parse(document, SurvivorshipMeta, data, at), document, at)
    return _mistakes(parse(document, MatchingMeta, data, at), document, at)


def _mistakes(meta: MatchingMeta, document: Document, at: Path_) -> list[Problem]:
    """What pydantic can't see: names that stand for a column, and levels that a kind does not have."""
    problems: list[Problem] = []

    def say(location: Path_, message: str, hint: str | None = None) -> None:
        problems.append(document.problem((*at, *location), message, hint))

    named: list[tuple[Path_, str]] = [(("vetoes", i), name) for i, name in enumerate(meta.vetoes)]
    lists: dict[str, list[Any]] = {"evidence": meta.evidence, "rules": meta.rules}
    for key, groups in lists.items():
        named += [((key, i, j), name) for i, group in enumerate(groups) for j, name in enumerate(group)]
    for location, name in named:
        if name not in meta.columns:
            say(location, f"{name!r} is none of the columns", did_you_mean(name, sorted(meta.columns)))
    for i, rule in enumerate(meta.blocking):
        for j, part in enumerate(rule):
            name, _, piece = part.partition(".")
            column = meta.columns.get(name)
            allowed = DATE_PARTS if column is not None and column.kind == "date" else (START,)
            if column is None:
                say(("blocking", i, j), f"{name!r} is none of the columns", did_you_mean(name, sorted(meta.columns)))
            elif "." in part and piece not in allowed:
                say(("blocking", i, j), f"{part!r}: a {column.kind} has no {piece!r}", f"It has {', '.join(allowed)}.")
    members = [name for group in meta.evidence for name in group]
    for name in sorted({name for name in members if members.count(name) > 1}):
        say(("evidence",), f"{name!r} stands in two pieces of evidence")
    for name, column in meta.columns.items():
        if column.agreement.similar is not None and column.kind not in _WITH_SIMILAR:
            say(("columns", name, "agreement", "similar"), f"{column.kind}: its levels are equal and other")
    return problems
