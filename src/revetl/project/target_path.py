"""Where dbt keeps its artifacts: asked for in dbt's own order, so that nobody's results are overlooked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from revetl.documents import Document, read_yaml, render_env
from revetl.errors import ConfigError, Problem

# dbt-core 1.11 reads both names (dbt/cli/params.py); the one with ENGINE is its newer spelling.
VARIABLES = ("DBT_ENGINE_TARGET_PATH", "DBT_TARGET_PATH")
_DEFAULT = "target"


def target_path(dbt_project_dir: Path, flag: Path | None = None, environ: Mapping[str, str] | None = None) -> Path:
    """The folder of manifest.json and run_results.json: `flag` (--target-path), DBT_TARGET_PATH, `target-path` in
    dbt_project.yml, or `target`. A relative one is meant from the dbt project, also where it is a flag: dbt joins it.

    ConfigError where dbt_project.yml says it in Jinja other than env_var(): what that means only dbt knows.
    `target_path` under `flags:` has no effect on dbt, so it has none here.
    """
    env = os.environ if environ is None else environ
    said = str(flag or "") or next((env[name] for name in VARIABLES if env.get(name)), "")
    return (dbt_project_dir / (said or _declared(dbt_project_dir, env))).resolve()


def _declared(dbt_project_dir: Path, env: Mapping[str, str]) -> str:
    document = read_yaml(dbt_project_dir / "dbt_project.yml")
    if not isinstance(document.data, dict) or document.data.get("target-path") is None:
        return _DEFAULT
    value = Document(document.path, document.data["target-path"], {(): document.line(("target-path",)) or 1})
    try:
        return str(render_env(value, env).data) or _DEFAULT
    except ConfigError as e:
        raise ConfigError([_with_the_cure(problem) for problem in e.problems]) from None


def _with_the_cure(problem: Problem) -> Problem:
    cure = "--target-path or DBT_TARGET_PATH says the folder itself."
    return Problem(f"target-path: {problem.message}", problem.path, problem.line, problem.hint or cure)
