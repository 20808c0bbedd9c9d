"""Writes `docs/destinations.md` and the table of destinations in README.md, from the registry, from what each connector
is able to do (`revetl.destinations.capabilities`), from what it says of itself (`FACTS`), and from the waivers of its
suites. With `--check` nothing is written: 1 where a file is not as it would be.

    .venv/bin/python scripts/destination_docs.py
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from revetl.clock import SystemClock  # noqa: E402 - after the path
from revetl.destinations import registry  # noqa: E402
from revetl.destinations.base import NO_JOBS, Destination, Limits, Quota  # noqa: E402
from revetl.destinations.capabilities import (  # noqa: E402
    HasQuota,
    Links,
    LooksUp,
    LooksUpIds,
    NeedsRecords,
    PublishesRuns,
    ReadsBack,
    RunsJobs,
)
from revetl.destinations.facts import ConnectorFacts, ConnectorForm  # noqa: E402

PAGE = ROOT / "docs" / "destinations.md"
README = ROOT / "README.md"
BEGIN, END = "<!-- destinations: begin -->", "<!-- destinations: end -->"
YES, NO = "yes", "–"

_HEAD = """# Destinations
Written by `scripts/destination_docs.py` from the registry, from what each connector is able to do, and from the
waivers of its suites. Don't edit it.

What the columns mean: [a plan](design/plans.md), [policies and links](design/policies-and-links.md),
[drift and rollback](design/rollback.md), [what follows from what a connector can't do](design/destinations.md).

## What each is able to do
"""
_PLAN = {
    (True, True): "exact: new records are looked for, those that would change are read",
    (True, False): "new records are looked for; of the others our snapshot is taken for what stands there",
    (False, True): "those that would change are read; new ones are taken to be new",
    (False, False): "against our own snapshot",
}
_GUARANTEES = """
## How often a record stands there
| word | after a lost answer or a crash |
|---|---|
| exactly once | the destination tells what was applied, and the next run sends what was not |
| once, repeated | it is sent again, which changes nothing |
| once, looked for | it is looked for before it is sent again |
| at most once | it is `unknown` and not sent again until a person has looked |
"""


def page() -> str:
    """docs/destinations.md as it would be now."""
    return "\n".join(_page()) + "\n"


def readme(text: str) -> str:
    """README.md with its table as it would be now. ValueError where the marks are not there."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md has no {BEGIN} … {END}")
    return before + "\n".join([BEGIN, *_short_table(), END]) + after


def _page() -> Iterator[str]:
    yield _HEAD.rstrip("\n")
    yield "| destination | form | a plan is | adopts | policies | drift | rollback | links |"
    yield "|---|---|---|---|---|---|---|---|"
    forms = [(type_, facts, form) for type_, facts in _all() if facts for form in facts.forms]
    for type_, facts, form in forms:
        able = _made(type_, form)
        cells = (_plan(able, form), _adopts(able, form), _policies(able, form), _drift(able, form))
        yield _row(_linked(type_, facts), form.name, *cells, _rollback(able, form), _yes(isinstance(able, Links)))
    for type_, facts in _all():
        if facts is None:
            yield _row(f"`{type_}`", "says nothing of itself", *[NO] * 6)
    yield ""
    yield "## How much a call takes, how fast, and how sure"
    yield "| destination | form | records a call | calls at once | pace | jobs | guarantee by endpoint |"
    yield "|---|---|---:|---:|---|---|---|"
    for type_, facts, form in forms:
        able = _made(type_, form)
        limits = able.limits(form.object)
        sure = "; ".join(f"{endpoint}: {how}" for endpoint, how in form.guarantees.items())
        at_once = f"{limits.concurrency:,}"
        yield _row(
            facts.title, form.name, _batch(able, limits), at_once, _pace(able, form, facts), _jobs(able, limits), sure
        )
    yield _GUARANTEES
    yield "## How it is known"
    yield (
        "Every connector inherits one suite of tests. What it can't pass is waived by name, with the reason, and must"
        " then fail."
    )
    yield ""
    yield "| destination | suites | waived | not confirmed of the vendor | design |"
    yield "|---|---:|---|---|---|"
    for type_, facts in _all():
        suites, waived = _suites(type_)
        design = f"[{Path(facts.design).name}]({facts.design})" if facts else NO
        said = "; ".join(f"{name.removeprefix('test_').replace('_', ' ')}: {why}" for name, why in waived.items())
        yield _row(facts.title if facts else f"`{type_}`", str(suites), said or "nothing", _assumed(facts), design)


def _short_table() -> Iterator[str]:
    yield "| destination | `type` | writes | a plan is | after a lost answer |"
    yield "|---|---|---|---|---|"
    for type_, facts in _all():
        if facts is None:
            yield _row(type_, f"`{type_}`", NO, NO, NO)
            continue
        form = facts.forms[0]
        plan = "exact" if _both(_made(type_, form)) else "against our snapshot"
        sure = dict.fromkeys(form.guarantees.values())
        yield _row(f"[{facts.title}](docs/{facts.guide})", f"`{type_}`", facts.says, plan, "; ".join(sure))
    yield ""
    yield "What each is able to do, how fast and how sure: [docs/destinations.md](docs/destinations.md)."


def _all() -> list[tuple[str, ConnectorFacts | None]]:
    return [(type_, registry.facts(type_)) for type_ in registry.types()]


def _made(type_: str, form: ConnectorForm) -> Destination:
    return registry.create_destination(type_, type_, form.options, SystemClock())


def _both(able: Destination) -> bool:
    return isinstance(able, LooksUp) and isinstance(able, ReadsBack)


def _plan(able: Destination, form: ConnectorForm) -> str:
    if form.events and not isinstance(able, LooksUp):
        return "new rows alone, by our own snapshot"
    return _PLAN[isinstance(able, LooksUp), isinstance(able, ReadsBack)]


def _adopts(able: Destination, form: ConnectorForm) -> str:
    if form.events or not isinstance(able, LooksUp):
        return NO
    by_id = f", by `{able.id_field(form.object)}` too" if isinstance(able, LooksUpIds) else ""
    return f"by `match_on`{by_id}"


def _policies(able: Destination, form: ConnectorForm) -> str:
    whole = isinstance(able, NeedsRecords) and able.replaces_record(form.object)
    return _yes(isinstance(able, ReadsBack) and not form.events and not whole)


def _drift(able: Destination, form: ConnectorForm) -> str:
    return _yes(isinstance(able, ReadsBack) and not form.events)


def _rollback(able: Destination, form: ConnectorForm) -> str:
    if form.events:
        return NO
    if isinstance(able, PublishesRuns):
        return "earlier values, as a run of its own"
    if _both(able):
        return "what people changed since stays"
    if not isinstance(able, LooksUp | ReadsBack):
        return "earlier values are sent, unseen what stands there"
    return NO if isinstance(able, LooksUp) else "of what is read"


def _batch(able: Destination, limits: Limits) -> str:
    if isinstance(able, PublishesRuns):
        return "a run as a whole"
    deletes = limits.delete_rows
    said = f"{limits.batch_rows:,}"
    if deletes is not None and deletes != limits.batch_rows:
        said += f" (deletes {deletes:,})"
    return said + (", all or nothing" if limits.atomic and limits.batch_rows > 1 else "")


def _pace(able: Destination, form: ConnectorForm, facts: ConnectorFacts) -> str:
    quota = able.quota(form.object, None) if isinstance(able, HasQuota) else Quota()
    if quota.write is None:
        return facts.pace or NO
    each = "a second" if quota.write.per_s == 1 else f"in {quota.write.per_s:g} s"
    return f"{quota.write.requests:,} calls {each}"


def _jobs(able: Destination, limits: Limits) -> str:
    runs_jobs = isinstance(able, RunsJobs) and limits.jobs_from < NO_JOBS
    return f"from {limits.jobs_from:,} records" if runs_jobs else NO


def _suites(type_: str) -> tuple[int, dict[str, str]]:
    """How many classes of the suite a connector passes, and what they waive. Its tests are named as its type or its
    folder."""
    from revetl.testing import DestinationSuite

    place = registry.connectors()[type_].place
    names = dict.fromkeys((type_, place.split(".")[2] if place.count(".") > 1 else type_))
    found: list[type[Any]] = []
    for name in names:
        if (ROOT / "tests" / "contract" / f"test_destination_{name}.py").is_file():
            module = import_module(f"tests.contract.test_destination_{name}")
            classes = [value for value in vars(module).values() if isinstance(value, type)]
            found += [c for c in classes if issubclass(c, DestinationSuite) and c.__name__.startswith("Test")]
    waived: dict[str, str] = {}
    for suite in found:
        waived |= dict(suite.waivers)
    return len(found), waived


def _assumed(facts: ConnectorFacts | None) -> str:
    """How many facts the design page lists as not confirmed, with a link."""
    if facts is None:
        return NO
    if facts.assumed is None:
        return f"said where it matters: [{Path(facts.design).name}]({facts.design})"
    text = (ROOT / "docs" / facts.design).read_text("utf-8")
    section = text.split(f"## {facts.assumed}\n", 1)[1].split("\n## ", 1)[0]
    rows = len(re.findall(r"^\|(?!-)", section, flags=re.MULTILINE)) - 1  # without the head
    anchor = facts.assumed.lower().replace(" ", "-")
    return f"[{rows} facts]({facts.design}#{anchor})"


def _linked(type_: str, facts: ConnectorFacts) -> str:
    return f"[{facts.title}]({facts.guide}) `{type_}`"


def _yes(able: bool) -> str:
    return YES if able else NO


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def main(arguments: list[str]) -> int:
    wanted = {PAGE: page(), README: readme(README.read_text("utf-8"))}
    stale = [path for path, text in wanted.items() if not path.is_file() or path.read_text("utf-8") != text]
    if "--check" in arguments:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not current: run scripts/destination_docs.py", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.write_text(wanted[path], "utf-8")
        print(f"written: {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
