"""`on_leave: erase`: who left the model is erased at the destination for good. It is never chosen by itself, and a plan
says of how many records nobody can take it back: no run, no rollback, and not the vendor's own recycle bin."""

from __future__ import annotations

from revetl.destinations.base import Destination
from revetl.destinations.capabilities import Erases
from revetl.errors import ConfigError, Problem
from revetl.model import SyncSpec


def check(spec: SyncSpec, destination: Destination) -> None:
    """ConfigError where records of this object can only be archived."""
    if spec.erases and not (isinstance(destination, Erases) and destination.erases(spec.object)):
        message = f"{spec.where or f'sync {spec.name}'}: on_leave: erase: {spec.destination} erases no {spec.object}"
        raise ConfigError(Problem(message, hint="Write `on_leave: archive`."))


def said(erased: int) -> list[str]:
    """For people: what can't be taken back."""
    return [f"erases {erased:,} record(s) for good: nobody can bring them back, and no rollback does"] if erased else []
