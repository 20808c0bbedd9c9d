"""Where the files and the manifest of a run stand, below the destination's url."""

from __future__ import annotations

import re
from datetime import UTC
from string import Formatter

from revetl.destinations.capabilities import PublishedRun

# What may stand in `path`, each an example of what it becomes.
PLACEHOLDERS = {
    "object": "contacts",
    "sync": "files__contacts",
    "date": "2026-01-31",
    "time": "235959",
    "run_id": "20260131T235959.123Z-9f2c41",
}
MANIFESTS = "_manifests"
_OBJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.=-]*(/[A-Za-z0-9][A-Za-z0-9_.=-]*)*")
_FIXED = re.compile(r"[A-Za-z0-9_.=/-]*")


def check_template(path: str) -> str:
    """ValueError where a file's name could not be made from it, would not be one of its run alone, or would leave the
    folder."""
    try:
        pieces = list(Formatter().parse(path))
    except ValueError:
        raise ValueError("a brace has no other half") from None
    for fixed, name, form, conversion in pieces:
        if not _FIXED.fullmatch(fixed):
            raise ValueError("beside {…} it may have letters, digits and any of _ . = - /")
        if name is not None and (name not in PLACEHOLDERS or form or conversion):
            raise ValueError(f"{{{name}}} is none of " + ", ".join(f"{{{n}}}" for n in PLACEHOLDERS))
    if "run_id" not in {name for _, name, _, _ in pieces}:
        raise ValueError("{run_id} is missing, so two runs would have one file")
    folders = path.split("/")
    if "" in folders or any(folder.startswith((".", "_")) for folder in folders):
        raise ValueError("no folder may be empty, or begin with . or _, which readers pass over")
    return path


def is_object(name: str) -> bool:
    """Whether a folder may have this name."""
    return _OBJECT.fullmatch(name) is not None


def file_path(template: str, object_: str, run: PublishedRun, number: int, ending: str) -> str:
    """Of the n-th file of a run, from 0. From the second on the number is part of the name."""
    began = run.started_at.astimezone(UTC)
    path = template.format(
        object=object_,
        sync=re.sub(r"[^A-Za-z0-9_.-]", "_", run.sync),
        date=f"{began:%Y-%m-%d}",
        time=f"{began:%H%M%S}",
        run_id=run.run_id,
    )
    return f"{path}{f'-{number + 1}' if number else ''}.{ending}"


def manifest_path(object_: str, run: PublishedRun) -> str:
    """Spark, Athena and the like pass over folders that begin with an underscore."""
    return f"{object_}/{MANIFESTS}/{run.run_id}.json"
