"""`revetl sandbox clone`: what an account is made of, in a file with which a sandbox is started. No record of it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path

from revetl.clock import Clock
from revetl.destinations.capabilities import CopiesSetup
from revetl.errors import ConfigError
from revetl.private_files import replaced
from revetl.project import Project


@dataclass(frozen=True, slots=True)
class ClonedSetup:
    """`option`: what `revetl sandbox start --set` is given. `left_out`: a sentence for each part that the credentials
    do not suffice for."""

    path: Path
    option: str
    objects: int
    owners: int
    left_out: list[str]


def clone(project: Project, name: str, path: Path, clock: Clock) -> ClonedSetup:
    """Of the connection `name`, at the target in use. Replaces the file, which is its owner's alone: it names the
    account's users. ConfigError where the connector has nothing to copy; Denied as for any call."""
    type_ = project.connections.destination_type(name)

    async def copy() -> tuple[dict[str, object], list[str]]:
        async with project.destination(name, clock) as destination:
            if not isinstance(destination, CopiesSetup):
                raise ConfigError(f"{name}: the setup of a {type_} can't be copied")
            return await destination.copy_setup()

    document, left_out = asyncio.run(copy())
    with replaced(path) as file:
        file.write(json.dumps(document, ensure_ascii=False, indent=1).encode())
    counts = {part: len(found) for part, found in document.items() if isinstance(found, list)}
    return ClonedSetup(path, f"{type_}.portal={path}", counts["objects"], counts["owners"], left_out)
