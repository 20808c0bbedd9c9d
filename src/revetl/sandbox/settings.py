"""What a sandbox is started with, whatever vendors it serves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from revetl.sandbox.data_vendors.population import Population


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """What holds for every vendor, and by a vendor's name what is set of that one.

    `data_dir`: where vendors that keep their state write it (None: nowhere). `truth`: the directory with
    people.parquet and companies.parquet (None: data vendors know nobody); `population` and `seed` decide which of
    them knows what. `limited`: whether vendors throttle. `job_s`: how many seconds their jobs take. `vendors`: a
    vendor's own options, as its model or as a mapping that the model validates.
    """

    data_dir: Path | None = None
    truth: Path | None = None
    seed: int = 0
    limited: bool = True
    population: Population = field(default_factory=Population)
    job_s: float = 2.0
    vendors: Mapping[str, BaseModel | Mapping[str, Any]] = field(default_factory=dict)
