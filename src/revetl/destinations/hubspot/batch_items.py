"""One change on its way to a batch endpoint, and whom of a batch an answer means: by trace id, by record id, or by the
normalised value; never by position."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from revetl.destinations.base import FieldType
from revetl.destinations.hubspot import api, shapes
from revetl.destinations.hubspot.values import canonical
from revetl.errors import CallError
from revetl.model import EXISTED, NOT_APPLIED, Change, Operation, Outcome, Scalar, Status


@dataclass(frozen=True, slots=True)
class BatchRoute:
    """A batch endpoint. `id_property`: what `id` means; None for the record's own id."""

    path: str
    id_property: str | None = None
    archive: bool = False


@dataclass(slots=True)
class Item:
    """One change on its way. `form` is its identity as it is compared, `trace_id` the ordinal; `types` are those
    of its properties, where they are known."""

    change: Change
    id: str
    form: str
    properties: dict[str, str]
    types: Mapping[str, FieldType] = field(default_factory=dict)
    outcome: Outcome | None = None
    sent_before: bool = False  # an earlier call may have written it already
    trace_id: str = field(init=False)

    def __post_init__(self) -> None:
        self.trace_id = str(self.change.ordinal)

    def ok(self, destination_id: str, attempts: int) -> None:
        self.outcome = Outcome(self.change.ordinal, Status.OK, destination_id, attempts=attempts)

    def answered(self, result: Mapping[str, Any], attempts: int) -> None:
        """Taken; and applied, as far as the result tells: a property that it leaves out says nothing."""
        self.ok(str(result["id"]), attempts)
        if self.outcome is not None and result.get("new") is False and self._sent_once(attempts):
            self.outcome.error_code = EXISTED
        stands = self._not_applied(result.get("properties"))
        if stands and self.outcome is not None:
            self.outcome.status, self.outcome.error_code = Status.ACCEPTED, NOT_APPLIED
            self.outcome.message = f"taken and not applied: {', '.join(stands)}"
            self.outcome.stands = stands

    def _sent_once(self, attempts: int) -> bool:
        """A create, and no earlier call can have made the record."""
        once = attempts == 1 and not self.sent_before and not self.change.in_doubt
        return once and self.change.op is Operation.CREATE

    def _not_applied(self, answered: Any) -> dict[str, Scalar]:
        """Property → what stands there in place of what was sent."""
        if not isinstance(answered, dict):
            return {}
        stands: dict[str, Scalar] = {}
        for name, sent in self.properties.items():
            there = answered.get(name, sent)
            if there == sent or not (there or sent):
                continue  # as nearly always, and cheap
            # A leading semicolon adds to what stands (docs), so the answer holds more than was sent.
            if (
                name in self.change.fields
                and not sent.startswith(";")
                and self._form(name, there) != self._form(name, sent)
            ):
                stands[name] = there or None
        return stands

    def _form(self, name: str, value: Any) -> str:
        """Without outer blanks: whether the vendor keeps them is not known, and nobody means them."""
        return canonical(name, "" if value is None else str(value), self.types.get(name)).strip()

    def rejected(self, refusal: api.Refusal, attempts: int = 1) -> None:
        self.outcome = _outcome(self.change, Status.REJECTED, "Rejected", refusal.code, refusal.message, attempts)
        self.outcome.in_row = refusal.code in api.IN_ROW

    def unknown(self, error: CallError | None = None) -> None:
        if error is None:
            self.outcome = _outcome(
                self.change, Status.UNKNOWN, "Unanswered", None, "the batch's answer does not name this record", 1
            )
        else:
            kind = type(error).__name__
            self.outcome = _outcome(self.change, Status.UNKNOWN, kind, error.code, str(error), 1)


class BatchItems:
    """Who of a batch is meant by an answer."""

    def __init__(self, route: BatchRoute, items: Sequence[Item]) -> None:
        self._route = route
        self._items = items
        self._by_trace = {item.trace_id: item for item in items}
        self._by_form = {item.form: item for item in items}

    def claim(self, results: Any, attempts: int) -> list[Any]:
        """Settles whom the results name; returns those that name nobody."""
        nameless = []
        for result in results if isinstance(results, list) else []:
            item = self._of(result)
            if item is None:
                nameless.append(result)
            elif item.outcome is None:
                item.answered(result, attempts)
        return nameless

    def _of(self, result: Any) -> Item | None:
        """None where it can't be told, or where the result has no id to remember."""
        if not isinstance(result, dict) or not shapes.is_id(result.get("id")):
            return None
        traced = self._by_trace.get(str(result.get("objectWriteTraceId")))
        if traced is not None:
            return traced
        if len(self._items) == 1:
            return self._items[0]
        for form in self._forms(result):
            if form in self._by_form:
                return self._by_form[form]
        return None

    def _forms(self, result: dict[str, Any]) -> Iterable[str]:
        name = self._route.id_property
        if name is None:
            return [str(result["id"])]
        properties = result.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        forms = [canonical(name, str(properties.get(name) or ""))]
        if name == "email":
            forms += canonical("hs_additional_emails", str(properties.get("hs_additional_emails") or "")).split(";")
        return forms

    def named(self, refusal: api.Refusal) -> list[Item]:
        items = [self._by_trace[t] for t in refusal.trace_ids if t in self._by_trace]
        if not items:
            forms = (canonical(self._route.id_property or "", i) for i in refusal.ids)
            items = [self._by_form[f] for f in forms if f in self._by_form]
        return items


def _outcome(change: Change, status: Status, kind: str, code: str | None, message: str, attempts: int) -> Outcome:
    return Outcome(change.ordinal, status, change.destination_id, kind, code, message, attempts)
