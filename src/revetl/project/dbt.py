"""dbt as a subprocess: never imported, its log read line by line, its failure told by node.

dbt runs in the project's root, so that a relative DuckDB path in profiles.yml means one file for it and for revetl.
On DuckDB nobody else may hold the file meanwhile: close the warehouse first.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from revetl.errors import ConfigError, RevetlError
from revetl.subprocesses import start_program, start_python, stop

# `python -m dbt.cli.main` warns of a double import; the console script may be another environment's.
# Importing dbt makes 200,000 objects that all stay. The garbage collector would walk through them again and again, for
# a sixth of the time that parsing the starter takes.
_LAUNCH = ("-c", "import gc; gc.disable(); from dbt.cli.main import cli; gc.freeze(); gc.enable(); cli()")
ELSEWHERE = "elsewhere"
NOT_HERE = (
    "`dbt:` in revetl.yml, or the variable DBT, names one of another environment; `pip install 'revetl[starter]'`"
    " installs one here; `dbt: elsewhere` and --no-build where another machine builds."
)
_DONE = {"success", "error", "fail", "pass", "warn", "skipped", "partial success", "no-op"}
_BAD = {"error", "fail", "partial success"}
_TAIL_LINES = 15
_VERSION_TIMEOUT_S = 60  # a cold start of dbt reads thousands of files, and it asks for its latest version

_logger = logging.getLogger("revetl.project")


@dataclass(frozen=True, slots=True)
class NodeResult:
    """One node that dbt is done with. `kind`: model, seed, snapshot, test, unit_test. `message`: where it failed."""

    name: str
    kind: str
    status: str
    seconds: float = 0.0
    path: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class BuildResult:
    """`counts` by status (success, pass, warn, …)."""

    invocation_id: str | None
    seconds: float
    counts: dict[str, int] = field(default_factory=dict)


class DbtFailed(RevetlError):
    """dbt ended badly. `failed` are the nodes to blame; empty where it did not get as far as running any. `ran`:
    whether it was heard to run any."""

    kind = "dbt"

    def __init__(self, message: str, failed: Sequence[NodeResult] = (), *, ran: bool = False) -> None:
        super().__init__(message)
        self.failed = tuple(failed)
        self.ran = ran or bool(failed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dbt:
    """One dbt, for one project and target. `executable`: None is the one that is installed beside revetl. `root`: where
    it runs. `target_path`: where it leaves its artifacts. `vars`: as `--vars` takes them. `private`: what it writes is
    for its owner's eyes only, since the warehouse itself is a file of it."""

    executable: str | None
    root: Path
    project_dir: Path
    profiles_dir: Path
    profile: str
    target: str
    target_path: Path
    vars: str | None = None
    private: bool = False

    def line(self, command: str, arguments: Sequence[str]) -> list[str]:
        """What follows the program's name."""
        # Its results are what is read, also where the environment or `flags:` of dbt_project.yml want none written.
        found = [
            "--log-format",
            "json",
            "--no-use-colors",
            "--write-json",
            command,
            "--project-dir",
            str(self.project_dir),
        ]
        found += ["--profiles-dir", str(self.profiles_dir), "--profile", self.profile, "--target", self.target]
        found += ["--target-path", str(self.target_path), *(["--vars", self.vars] if self.vars else [])]
        return [*found, *arguments]


def named_dbt(declared: str | None) -> str | None:
    """Which dbt the operator names. `declared`: `dbt` of revetl.yml; the environment variable DBT comes first."""
    return os.environ.get("DBT") or declared


def find_dbt(declared: str | None, root: Path) -> tuple[bool, str | None]:
    """(whether dbt can be run here, its executable; None for the one beside revetl). `declared` as in `named_dbt`.
    ConfigError where one is named that is not there."""
    named = named_dbt(declared)
    if named == ELSEWHERE:
        return False, None
    if named is None:
        if find_spec("dbt") is not None and find_spec("dbt.cli") is not None:
            return True, None
        found = shutil.which("dbt")
        return found is not None, found
    inside = [root / named, *((root / named / place) for place in ("bin/dbt", "Scripts/dbt.exe"))]
    found = next((str(p) for p in inside if p.is_file()), None) or shutil.which(named)
    if found is None:
        raise ConfigError(
            f"no dbt at {named!r}", hint="`dbt:` in revetl.yml, or DBT, names the executable or its environment."
        )
    return True, found


def dbt_versions(dbt: Dbt, adapter: str) -> str:
    """Of dbt-core and of its adapter for the warehouse, as "dbt-core 1.12.6, dbt-postgres 1.11.0".

    ConfigError where one of the two is not installed, or the executable does not answer as dbt does.
    """
    found = _installed(adapter) if dbt.executable is None else _answered(dbt.executable)
    where = f"in the environment of {dbt.executable}" if dbt.executable else "in this environment"
    for name in ("core", adapter):
        if name not in found:
            raise ConfigError(f"dbt-{name} is not installed {where}", hint=f"`pip install dbt-{name}` there.")
    return ", ".join(f"dbt-{name} {found[name]}" for name in ("core", adapter))


def _installed(adapter: str) -> dict[str, str]:
    """Importing dbt to ask it takes seconds."""
    found = {}
    for name in ("core", adapter):
        try:
            found[name] = metadata.version(f"dbt-{name}")
        except metadata.PackageNotFoundError:
            continue
    return found


def _answered(executable: str) -> dict[str, str]:
    """What `dbt --version` says: a line `installed: 1.12.6` for dbt itself, one `postgres: 1.11.0 …` an adapter."""
    how: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
    try:
        with start_program(executable, ["--version"], **how, text=True, encoding="utf-8", errors="replace") as process:
            try:
                text, _ = process.communicate(timeout=_VERSION_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise ConfigError(f"`{executable} --version` gave no answer in {_VERSION_TIMEOUT_S} s") from None
    except OSError as e:
        raise ConfigError(f"{executable} can't be started: {e.strerror}") from None
    found = dict(re.findall(r"^\s*- (\w+):\s+(\d[\w.+-]*)", text, re.MULTILINE))
    if "installed" not in found:
        said = text.strip().splitlines()
        raise ConfigError(
            f"`{executable} --version` does not answer as dbt Core does: {said[0] if said else 'nothing'}"
        )
    return {"core": found["installed"], **found}


def run_dbt(
    command: str,
    dbt: Dbt,
    *,
    arguments: Sequence[str] = (),
    on_node: Callable[[NodeResult], None] | None = None,
) -> BuildResult:
    """Runs `dbt <command>` to its end. `on_node` hears of every node as it finishes.

    Raises DbtFailed with the failed nodes named. Interrupted, it stops dbt, waits for that and passes the interrupt
    on.
    """
    line = dbt.line(command, arguments)
    # No usage statistics leave the machine unless the operator asks for it. DuckDB and libpq take a session's zone from
    # TZ: a model that casts a moment to a date would mean another day on another machine.
    env = {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false", **os.environ, "TZ": "UTC"}
    how: dict[str, Any] = {"cwd": dbt.root, "env": env, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    how |= {"text": True, "encoding": "utf-8", "errors": "replace"}
    if dbt.private:
        how["umask"] = 0o077
    started = time.monotonic()
    log = _Log(on_node)
    _logger.info("dbt started", extra={"dbt_command": command, "target": dbt.target})
    try:
        if dbt.executable is None:
            process = start_python([*_LAUNCH, *line], bound=True, **how)
        else:
            process = start_program(dbt.executable, line, bound=True, **how)
    except OSError as e:
        raise DbtFailed(f"dbt can't be started: {e.strerror}") from None
    with process:
        try:
            log.read(process.stdout or ())
            code = process.wait()
        except BaseException:
            stop(process)
            raise
    result = BuildResult(log.invocation_id, time.monotonic() - started, dict(log.counts))
    ended = {"dbt_command": command, "exit_code": code, "seconds": round(result.seconds, 2)}
    _logger.info("dbt finished", extra={**ended, "invocation_id": result.invocation_id, **result.counts})
    if code != 0:
        raise DbtFailed(_explanation(command, code, log), log.failed, ran=log.ran)
    return result


class _Log:
    """dbt's JSON log, one event a line. What is no JSON is a traceback or a warning of the interpreter."""

    def __init__(self, on_node: Callable[[NodeResult], None] | None) -> None:
        self.invocation_id: str | None = None
        self.ran = False
        self.counts: Counter[str] = Counter()
        self.failed: list[NodeResult] = []
        self.errors: list[str] = []
        self.plain: list[str] = []
        self._on_node = on_node

    def read(self, lines: Iterable[str]) -> None:
        for line in lines:
            try:
                event = json.loads(line)
                info, data = event["info"], event["data"]
            except (ValueError, KeyError, TypeError, RecursionError):
                if line.strip():
                    self.plain = [*self.plain[1 - _TAIL_LINES :], line.rstrip()]
                continue
            self._event(info, data)

    def _event(self, info: dict[str, Any], data: dict[str, Any]) -> None:
        self.invocation_id = info.get("invocation_id") or self.invocation_id
        node = data.get("node_info") or {}
        self.ran |= info["name"] == "LogStartLine" or bool(node.get("node_started_at"))
        if info["name"] == "RunResultError":  # told once more at the end, with the reason
            self._reason(str(node.get("node_name", "")), str(data.get("msg", "")))
        elif info["name"].startswith(("Log", "Skipping")) and info["name"] != "LogStartLine":
            # Where a unit test fails, its node has no status (the word None), and the event has one.
            told = (str(node.get("node_status")), str(data.get("status")))
            if status := next((word for word in told if word in _DONE), ""):
                self._done(node, status, float(data.get("execution_time") or 0))
        elif info["level"] == "error" and info["msg"].strip():
            self.errors.append(info["msg"].strip())

    def _done(self, node: dict[str, Any], status: str, seconds: float) -> None:
        kind = str(node.get("resource_type") or "")
        # dbt lists exposures as done, and tells of a skipped ephemeral model without saying what it is: neither is run.
        if kind in ("", "exposure"):
            return
        result = NodeResult(str(node.get("node_name", "")), kind, status, seconds, str(node.get("node_path") or ""))
        self.counts[status] += 1
        if status in _BAD:
            self.failed.append(result)
        if self._on_node is not None:
            self._on_node(result)

    def _reason(self, name: str, message: str) -> None:
        self.failed = [
            NodeResult(f.name, f.kind, f.status, f.seconds, f.path, message) if f.name == name else f
            for f in self.failed
        ]


def _explanation(command: str, code: int, log: _Log) -> str:
    if log.failed:
        skipped = f", {log.counts['skipped']} skipped" if log.counts["skipped"] else ""
        head = f"dbt {command}: {len(log.failed)} failed{skipped}"
        return "\n".join([head, *(_failure(f) for f in log.failed)])
    told = [e for e in log.errors if not e.startswith("Traceback ")] or log.errors
    reasons = told or log.plain or [f"it gave no reason (exit code {code})"]
    return "\n".join([f"dbt {command} did not get as far as running:", *(f"  {r}" for r in reasons[:_TAIL_LINES])])


def _failure(node: NodeResult) -> str:
    lines = [stripped for part in node.message.splitlines() if (stripped := part.strip())]
    # A unit test shows rows, cell by cell: they stay below each other.
    reason = "".join(f"\n    {line}" for line in lines) if node.kind == "unit_test" else f" {' '.join(lines)}"
    return f"  {node.kind} {node.name} ({node.path}):{reason if lines else f' {node.status}'}"
