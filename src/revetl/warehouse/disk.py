"""What is free on the disk of a database that is a file on this machine."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Protocol, runtime_checkable

from revetl.warehouse.base import Warehouse


@runtime_checkable
class KeptInAFolder(Protocol):
    """`folder`: where its file grows, and its log beside it. None: in memory, or at a service."""

    @property
    def folder(self) -> Path | None: ...


def folder_of(warehouse: Warehouse) -> Path | None:
    return warehouse.folder if isinstance(warehouse, KeptInAFolder) else None


def free_bytes(folder: Path) -> int:
    """What this user may still write there. A share of the disk that he is allowed (a quota) is not seen."""
    return shutil.disk_usage(folder).free
