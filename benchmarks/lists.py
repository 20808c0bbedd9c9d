"""Peak memory and processor time of `revetl enrich FILE` by the length of the list: memory must not grow with it.

Nobody is asked (`--max-spend 0`): the list is read, put into the warehouse, estimated, looked up and written.
"""

from __future__ import annotations

import csv
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.report import Section

SIZES = (100_000, 1_000_000)
_FLAT = 1.3
_SPENT = 3  # the exit code: a budget of $0 is spent at once
_HEADER = ("first_name", "last_name", "email", "company", "domain", "phone", "city", "note")
_FIRST = ("Ada", "Grace", "Alan", "Edsger", "Barbara", "Donald", "Tony", "Leslie")


def _rows(size: int) -> Iterator[tuple[str, ...]]:
    """Six of ten have an address; five share an employer; a first name is shared by every eighth."""
    drawn = random.Random(5)
    for i in range(size):
        first, last = drawn.choice(_FIRST), f"Smith{drawn.randrange(10**7)}"
        number = drawn.randrange(size // 5)
        domain = f"company{number}.example"
        email = f"{first}.{last}@{domain}".lower() if drawn.random() < 0.6 else ""
        city = drawn.choice(("Oslo", "Berlin", "Lyon"))
        yield first, last, email, f"Company {number}", domain, "", city, f"note {i} of a longer free text"


def _as_csv(path: Path, size: int) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(_HEADER)
        out.writerows(_rows(size))


def _as_workbook(path: Path, size: int) -> None:
    import openpyxl

    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("list")
    sheet.append(_HEADER)
    for row in _rows(size):
        sheet.append(row)
    book.save(path)


def _project(folder: Path) -> Path:
    _revetl(folder, "init", "project", expected=0)
    project = folder / "project"
    profile = project / "profiles/profiles.yml"
    # The limit of DuckDB's memory goes by its threads, so that the figures are of two on any machine.
    profile.write_text(profile.read_text("utf-8").replace("threads: 4", "threads: 2"), "utf-8")
    return project


def _revetl(folder: Path, *words: str, expected: int) -> tuple[float, float]:
    """Processor seconds and peak MiB."""
    environ = {**os.environ, "PDL_API_KEY": "none", "HUNTER_API_KEY": "none", "ZEROBOUNCE_API_KEY": "none"}
    command = [sys.executable, "-m", "revetl.cli.main", *words]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, cwd=folder, env=environ, stdout=said, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != expected:
            said.seek(0)
            raise RuntimeError(said.read().decode("utf-8", "replace")[-2000:])
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return used.ru_utime + used.ru_stime, used.ru_maxrss / scale


def _enriched(folder: Path, kind: str, size: int) -> tuple[float, float]:
    project, source = _project(folder), folder / f"list.{kind}"
    (_as_csv if kind == "csv" else _as_workbook)(source, size)
    words = ["enrich", str(source), "-w", "contact_profile", "-o", str(folder / f"out.{kind}"), "--max-spend", "0"]
    figures = _revetl(project, *words, "--yes", expected=_SPENT)
    if kind == "csv":
        with (folder / "out.csv").open("rb") as file:
            if (lines := sum(1 for _ in file)) != size + 1:
                raise AssertionError(f"of a list of {size} rows {lines - 1} were written")
    return figures


def measure(sizes: tuple[int, ...] = SIZES) -> Section:
    rows, peaks = [], {}
    for kind, size in [*(("csv", size) for size in sizes), ("xlsx", sizes[0])]:
        with tempfile.TemporaryDirectory() as folder:
            seconds, peak = _enriched(Path(folder), kind, size)
        peaks[kind, size] = peak
        rows.append((kind, f"{size:,}", f"{seconds:.0f}", f"{peak:.0f}"))
    growth = peaks["csv", sizes[-1]] / peaks["csv", sizes[0]]
    return Section(
        title="A long list",
        workload=(
            "`revetl enrich FILE -w contact_profile -o OUT --max-spend 0` over a list of 8 columns, in an empty project: read, "
            "put into the warehouse, estimated, selected, written. Nobody is asked, so the ledger stays empty. Processor seconds and "
            "peak resident memory of the whole process as the kernel counts them; DuckDB has two threads, and spills beside its file."
        ),
        header=("file", "rows", "processor seconds", "peak MiB"),
        rows=rows,
        verdict=(
            f"A CSV of {sizes[-1] // sizes[0]} times the rows takes {growth:.2f} times the memory. Target flat (≤ {_FLAT}): "
            f"{'met' if growth <= _FLAT else 'NOT met'}. A spreadsheet takes the memory of its texts besides."
        ),
    )
