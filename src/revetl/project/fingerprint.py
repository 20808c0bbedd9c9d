"""What dbt's parse of a project depends on, as one digest: equal digests mean that the manifest still holds.

By content, not by time: a checkout sets the time of every file, and a file that is moved away leaves no newer one.
Installed packages are many and change only with `dbt deps`, so of them name, size and time are taken. Of the
environment all variables count that a file of the project names in `env_var()`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_READ = {".sql", ".yml", ".yaml", ".csv", ".py", ".md", ".jinja"}
_PACKAGES = ("dbt_packages", "dbt_modules")
_LARGE = 1 << 20  # of a larger file (a seed), size and time: its rows are no matter of the parse
_ENV_VAR = re.compile(rb"""env_var\(\s*['"](\w+)""")
# Their values name no relation, and a digest of little else could be tried against guesses.
_SECRET = re.compile(r"pass|secret|token|key|pwd|credential", re.IGNORECASE)


def fingerprint(
    dbt_project_dir: Path, *, leave_out: tuple[Path, ...], context: Mapping[str, Any], environ: Mapping[str, str]
) -> str:
    """`leave_out`: folders and files that dbt or revetl write there themselves. `context`: target, profile, vars."""
    digest = hashlib.sha256()
    named: set[str] = set()
    for path in sorted(_files(dbt_project_dir, leave_out)):
        said = path.relative_to(dbt_project_dir).as_posix()
        status = path.stat()
        digest.update(f"\0{said}\0{status.st_size}\0".encode())
        if status.st_size > _LARGE or said.startswith(_PACKAGES):
            digest.update(str(status.st_mtime_ns).encode())
        else:
            content = path.read_bytes()
            named.update(name.decode() for name in _ENV_VAR.findall(content))
            digest.update(content)
    values = {name: environ.get(name) for name in sorted(named) if not _SECRET.search(name)}
    digest.update(json.dumps([values, _without_secrets(context)], sort_keys=True, default=str).encode())
    return digest.hexdigest()


def _files(directory: Path, leave_out: tuple[Path, ...]) -> Iterator[Path]:
    # A local package is a link in dbt_packages: its files count like those of any other.
    for place, folders, files in os.walk(directory, followlinks=True):
        here = Path(place)
        folders[:] = [f for f in folders if here / f not in leave_out and not _is_no_source(here / f)]
        yield from (here / f for f in files if Path(f).suffix in _READ and here / f not in leave_out)


def _is_no_source(folder: Path) -> bool:
    """What lies beside the models where the dbt project is the whole repository."""
    name = folder.name
    return name.startswith(".") or name in ("logs", "node_modules", "__pycache__") or (folder / "pyvenv.cfg").exists()


def _without_secrets(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _without_secrets(v) for k, v in value.items() if not _SECRET.search(str(k))}
    return value
