"""Puts revetl.yml beside the rest of the starter project in the wheel: hatch maps folders, not single files."""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class StarterFile(BuildHookInterface):
    """Not in an editable install: it reads the starter from the checkout."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "standard":
            build_data["force_include"]["revetl.yml"] = "revetl/_starter/revetl.yml"
