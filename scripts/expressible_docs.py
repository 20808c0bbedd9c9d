"""Writes `docs/expressible.md`: how many of the sync definitions that people publish can be expressed, by their kinds.
With `--check` nothing is written: 1 where the page is not as it would be.

    .venv/bin/python scripts/expressible_docs.py

A kind counts as expressible only where a section of `docs/guides/examples.md` shows it, and that page is run by
`tests/cli/test_examples_guide.py`.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "expressible.md"
EXAMPLES = ROOT / "docs" / "guides" / "examples.md"


_HEAD = """# What can be expressed
Written by `scripts/expressible_docs.py`. Don't edit it.

Of {total} sync definitions in public repositories, 67 of them from production, **{shown} ({share:.1%})** are of a kind
that an example shows; [the examples](guides/examples.md) are run by a test. The counts are a survey's, which says how
many definitions each ability unlocks: each stands once. What is shown is the kind, not each definition of it.
"""


@dataclass(frozen=True, slots=True)
class DefinitionKind:
    """`count`: how many published definitions it takes to be able to do this. `examples`: the numbers of the sections
    that show it; without one none of these counts, for the reason `lacks`."""

    says: str
    count: int
    examples: tuple[int, ...] = ()
    lacks: str = ""


# Of a survey of 169 definitions of reverse-ETL syncs in public repositories, 67 of them from production. It says how
# many each ability unlocks, so a definition stands once; what it does not name is the last line.
KINDS = (
    DefinitionKind("HubSpot's contacts and companies by email or domain; rows to an endpoint", 13, (2, 4)),
    DefinitionKind("an HTTP request of its own shape: paths, nested bodies, batches, results", 33, (3, 11, 12)),
    DefinitionKind("Salesforce", 17, (6, 10)),
    DefinitionKind("a record of another object, named by its external key", 15, (5, 10)),
    DefinitionKind("a table of a database", 14, (8,)),
    DefinitionKind("records named by the id that the vendor gave", 13, (1,)),
    DefinitionKind("rows that leave the model and return (anti-joins)", 11, (1,)),
    DefinitionKind("files", 8, (7,)),
    DefinitionKind("membership of a list", 6, (4,)),
    DefinitionKind("Mailchimp", 6, (11,)),
    DefinitionKind("a sheet of Google Sheets", 6, (13,)),
    DefinitionKind("anything else", 27, lacks="the survey does not say what these need, so none is counted"),
)


def page() -> str:
    """ValueError where an example is named that the page of examples does not have."""
    headings = dict(re.findall(r"^## (\d+)\. (.+)$", EXAMPLES.read_text("utf-8"), re.MULTILINE))
    total = sum(kind.count for kind in KINDS)
    shown = sum(kind.count for kind in KINDS if kind.examples)
    lines = [_HEAD.format(total=total, shown=shown, share=shown / total), "| kind | definitions | |", "|---|---|---|"]
    for kind in KINDS:
        links = [_link(n, headings) for n in kind.examples]
        lines.append(f"| {kind.says} | {kind.count} | {'yes: ' + ', '.join(links) if links else 'no: ' + kind.lacks} |")
    return "\n".join(lines) + "\n"


def _link(number: int, headings: dict[str, str]) -> str:
    title = headings.get(str(number))
    if title is None:
        raise ValueError(f"{EXAMPLES.name} has no example {number}")
    anchor = re.sub(r"[^a-z0-9 -]", "", f"{number}. {title}".lower()).replace(" ", "-")
    return f"[{number}](guides/examples.md#{anchor})"


def main(arguments: list[str]) -> int:
    made = page()
    if "--check" in arguments:
        return 0 if PAGE.is_file() and PAGE.read_text("utf-8") == made else 1
    PAGE.write_text(made, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
