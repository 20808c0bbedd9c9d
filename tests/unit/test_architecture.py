"""The house as its pages say it is: rooms, names and sizes that a reader may rely on."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCE = REPOSITORY / "src" / "revetl"
MODULES = sorted(SOURCE.rglob("*.py"))
# A face may take what its users want to say in one call, each parameter documented.
FACES = ("cli/commands/", "api/")
MOST_PARAMETERS = 8
# Words that say nothing of what a module holds.
NO_MODULE = {"parts", "known", "terms", "living", "story", "desk", "utils", "helpers", "misc", "common"}

Definition = ast.FunctionDef | ast.AsyncFunctionDef


def functions(path: Path) -> Iterator[Definition]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def parameters(function: Definition) -> int:
    """Those that a caller may give: without self and cls."""
    given = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return len(given) - (bool(given) and given[0].arg in ("self", "cls"))


def place(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def test_no_function_takes_more_than_eight_parameters() -> None:
    wide = [
        f"{place(path)}:{function.lineno} {function.name} takes {parameters(function)}"
        for path in MODULES
        if not place(path).startswith(FACES)
        for function in functions(path)
        if parameters(function) > MOST_PARAMETERS
    ]
    assert wide == []


def test_no_two_public_classes_share_a_name() -> None:
    """`Options` apart, which a registry asks every connector and every vendor of the sandbox for."""
    places = defaultdict(list)
    for path in MODULES:
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and node.name != "Options":
                places[node.name].append(place(path))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_modules_are_named_for_what_they_hold() -> None:
    assert [place(p) for p in MODULES if p.stem in NO_MODULE] == []


def test_no_package_is_empty() -> None:
    packages = [p.parent for p in MODULES if p.name == "__init__.py"]
    assert [place(p) for p in packages if sum(1 for _ in p.rglob("*.py")) == 1 and p.name != "sources"] == []


def test_every_package_says_what_it_is() -> None:
    silent = [
        place(p) for p in MODULES if p.name == "__init__.py" and not ast.get_docstring(ast.parse(p.read_text("utf-8")))
    ]
    assert silent == []


def test_nobody_reaches_up_by_a_string() -> None:
    """An import by name is for registries, whose names are data, and for packages that load their own modules late."""
    registries = {
        "__init__.py",
        "cli/main.py",
        "destinations/registry.py",
        "sandbox/registry.py",
        "http/__init__.py",
    }
    calls = {
        place(p)
        for p in MODULES
        for node in ast.walk(ast.parse(p.read_text("utf-8")))
        if isinstance(node, ast.Call) and "import_module" in ast.unparse(node.func)
    }
    assert calls <= registries


def documents() -> list[Path]:
    return [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")]


# A path in backticks: with a folder, ending as files of this repository do.
NAMED = re.compile(r"`([\w.-]+(?:/[\w.-]+)*/[\w-]+\.(?:py|sql|yml|yaml|md|toml|sh))(?::\d+)?`")


def exists(name: str) -> bool:
    places = (REPOSITORY, SOURCE, REPOSITORY / "dbt_project" / "models", REPOSITORY / "dbt_project")
    return any((folder / name).exists() for folder in places)


@pytest.mark.parametrize("document", documents(), ids=lambda p: p.relative_to(REPOSITORY).as_posix())
def test_files_that_tables_name_are_there(document: Path) -> None:
    """A table row of a page that names a file names one that exists: from the root, or from `src/revetl`."""
    rows = [line for line in document.read_text("utf-8").splitlines() if line.lstrip().startswith("|")]
    named = {name for row in rows for name in NAMED.findall(row)}
    assert sorted(name for name in named if not exists(name)) == []


def test_the_picture_of_the_house_names_every_room() -> None:
    page = (REPOSITORY / "ARCHITECTURE.md").read_text("utf-8")
    rooms = [p.name for p in SOURCE.iterdir() if (p / "__init__.py").exists()]
    assert len(rooms) > 10
    assert [room for room in rooms if f"{room}/" not in page] == []


# Who may write to a terminal, and with what. Everybody else prints through them, so that no value steers a terminal.
WRITERS = {
    "cli/output.py": {"click.echo", "sys.stdout"},
    "cli/options.py": {"sys.stdout", "sys.stderr"},
    "cli/logs.py": {"sys.stderr"},
    "cli/main.py": {"sys.stdout", "sys.stderr"},  # how they encode, and that they are there; writes nothing
    "safe_text.py": {"rich.markup", "html"},
    "privacy/mentions.py": {"html"},  # undoes it
}


def test_nothing_reaches_a_terminal_but_through_the_safe_ways() -> None:
    """No `print`, `click.echo` or bare console; `rich.markup` would escape brackets and nothing else."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in MODULES:
        if place(path).startswith(("sandbox/", "testing/")):
            continue  # a process of its own, without data of customers; suites of connectors
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            said = ast.unparse(node) if isinstance(node, ast.Attribute | ast.Name) else ""
            if said in ("sys.stdout", "sys.stderr", "click.echo", "click.secho"):
                found[place(path)].add(said)
            elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "Console"):
                found[place(path)].add(ast.unparse(node.func))
            elif isinstance(node, ast.ImportFrom | ast.Import):
                names = {node.module} if isinstance(node, ast.ImportFrom) else {n.name for n in node.names}
                found[place(path)] |= {n for n in names if n in ("rich.markup", "html", "xml.sax.saxutils")}
    assert {where: ways for where, ways in found.items() if ways - WRITERS.get(where, set())} == {}
