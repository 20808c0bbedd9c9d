"""What stopped in one command, and which syncs are therefore not begun: of a saga its own, and those that name records
of one that stopped; of a destination that is away or refuses the credentials all. All others go on. What stopped a sync
or a saga is raised once they have: the command ends with the gravest code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from revetl.errors import RevetlError
from revetl.model import SyncSpec
from revetl.sync.report import SyncReport
from revetl.usecases import exit_codes


@dataclass(slots=True)
class StoppedSyncs:
    """`syncs`: sync that stopped, or depends on one that did → why it is not begun."""

    syncs: dict[str, str] = field(default_factory=dict)
    errors: list[RevetlError] = field(default_factory=list)
    held_up: dict[str, list[str]] = field(default_factory=dict)  # why → syncs that were not begun

    def stop(self, syncs: Iterable[str], why: str, error: RevetlError | None = None) -> None:
        """`why`, as "not begun, since …" goes on. `error`: raised by `raise_worst`."""
        for sync in syncs:
            self.syncs.setdefault(sync, why)
        if error is not None:
            self.errors.append(error)

    def stop_sync(self, spec: SyncSpec, later: Iterable[SyncSpec], error: RevetlError | None, *, whole: bool) -> None:
        """`later`: the syncs after it, in their order. `error`: raised by `raise_worst`; None where its report has it.
        `whole`: what stopped it holds for every sync of its destination."""
        why = f"{spec.name} stopped"
        self.stop([spec.name], why, error)
        depends, objects = {spec.name}, {(spec.destination, spec.object)}
        for other in later:
            looks_up = {(other.destination, object_) for object_, _ in other.looked_up}
            if (whole and other.destination == spec.destination) or depends & other.named_syncs or objects & looks_up:
                self.stop([other.name], why)
                depends.add(other.name)
                objects.add((other.destination, other.object))

    def holds_up(self, spec: SyncSpec, members: Iterable[SyncSpec] = ()) -> bool:
        """Whether this sync is not begun. Asked in the order in which syncs run. `members`: of a saga of its own that
        is not begun yet: it begins only where each of them can."""
        if spec.name not in self.syncs:
            for member in (spec, *members):
                if member.name in self.syncs:
                    self.syncs[spec.name] = f"{self.syncs[member.name]}, and it stands or falls with {member.name}"
                    break
                if (named := next((sync for sync in sorted(member.named_syncs) if sync in self.syncs), None)) is None:
                    continue
                whose = "" if member is spec else f" by {member.name}, which it stands or falls with,"
                self.syncs[spec.name] = f"{self.syncs[named]}, and records of {named} are named{whose} there"
                break
        if spec.name not in self.syncs:
            return False
        self.held_up.setdefault(self.syncs[spec.name], []).append(spec.name)
        return True

    def tell(self, note: Callable[[str], None]) -> None:
        for why, syncs in self.held_up.items():
            note(f"not begun, since {why}: {', '.join(syncs)}")

    def raise_worst(self, reports: Iterable[SyncReport], note: Callable[[str], None]) -> None:
        """The gravest of the errors, with the gravest exit code of the command; the others are told."""
        if not self.errors:
            return
        worst = exit_codes.worst(error.exit_code for error in self.errors)
        raised = next(error for error in self.errors if exit_codes.worst([error.exit_code]) == worst)
        for error in self.errors:
            if error is not raised:
                note(str(error))
        raised.exit_code = exit_codes.worst([worst, exit_codes.of_reports(reports)])
        raise raised
