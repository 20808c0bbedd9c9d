"""revetl.yml: where the parts of a project are, and what they share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from revetl.documents import parse, read_yaml
from revetl.enrich.project_budget import NO_PROJECT_BUDGET, ProjectBudget
from revetl.errors import ConfigError
from revetl.project.places import FILE_NAME

DEFAULT_STATE_SCHEMA = "revetl"  # also the default of the dbt variable `state_schema`


def _schema_names(value: str | dict[str, str]) -> str | dict[str, str]:
    for name in [value] if isinstance(value, str) else value.values():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ValueError(f"{name!r} is not a plain name: letters, digits and _ only")
    return value


class Owner(BaseModel):
    """Who answers for the syncs; dbt shows it on their exposures."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    email: str | None = None


class SagaSettings(BaseModel):
    """Syncs that stand or fall together."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    syncs: list[str] = Field(min_length=1, description="Which syncs: names, tag:…, as --select takes them.")
    max_failures: int = Field(
        default=0, ge=0, description="Records that may fail in one run before what all of them wrote is taken back."
    )


class Settings(BaseModel):
    """The whole of revetl.yml. Directories are relative to the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, description="The project's name, for people.")
    dbt_project: str = Field(
        default="dbt_project",
        description="The directory that holds dbt_project.yml. Left out: that of revetl.yml where it is beside it.",
    )
    profiles: str | None = Field(
        default=None, description="The directory that holds profiles.yml. Left out: looked for as dbt does."
    )
    enrichment: str = Field(default="enrichment", description="The directory that holds providers/ and waterfalls/.")
    state_schema: Annotated[str | dict[str, str], AfterValidator(_schema_names)] = Field(
        default=DEFAULT_STATE_SCHEMA,
        description="The warehouse schema of revetl's own tables, or one by dbt target; `default` serves the others.",
    )
    exposures: str | None = Field(
        default=None, description="A file for one dbt exposure per sync, below the models. None: none is written."
    )
    dbt: str | None = Field(
        default=None,
        description="Another environment's dbt: its executable or folder. `elsewhere`: only its target folder is here.",
    )
    sagas: dict[str, SagaSettings] = Field(
        default_factory=dict, description="Sets of syncs that stand or fall together, by name."
    )
    budget: ProjectBudget = Field(
        default=NO_PROJECT_BUDGET, description="What all waterfalls may spend together by day and month, and by vendor."
    )
    approvals: int = Field(
        default=0,
        ge=0,
        le=5,
        description="How many people other than its maker have to approve a plan before the service applies it.",
    )
    owner: Owner = Field(default=Owner(name="revetl"), description="Who answers for the syncs.")

    def schema_of(self, target: str) -> str:
        """The state schema of this target."""
        if isinstance(self.state_schema, str):
            return self.state_schema
        return self.state_schema.get(target) or self.state_schema.get("default", DEFAULT_STATE_SCHEMA)


def read_settings(root: Path) -> Settings:
    """ConfigError with every mistake in revetl.yml, directories that do not exist included."""
    document = read_yaml(root / FILE_NAME)
    if not isinstance(document.data, dict):
        raise ConfigError(document.problem((), "not a mapping: at least `name:` must stand here"))
    settings = parse(document, Settings)
    if "dbt_project" not in settings.model_fields_set and (root / "dbt_project.yml").is_file():
        settings = settings.model_copy(update={"dbt_project": "."})
    problems = [
        document.problem((key,), f"{key}: no directory {root / value}")
        for key, value in (("dbt_project", settings.dbt_project), ("profiles", settings.profiles))
        if value is not None and not (root / Path(value).expanduser()).is_dir()
    ]
    if problems:
        raise ConfigError(problems)
    return settings
