"""What an answer says of each record that was sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from revetl.destinations.http.answers import ApiResults, ApiStatusRow, OfRecord, Unnamed, Verdict
from revetl.destinations.http.grammar import ApiObject
from revetl.destinations.http.values import as_text, at, listed
from revetl.http import Response, ResponseVerdict, one_word
from revetl.json_documents import parse_json
from revetl.model import Change, Operation, Outcome, Scalar, Status

_SESSION: Mapping[Verdict, ResponseVerdict] = {
    "ok": ResponseVerdict.OK,
    "accepted": ResponseVerdict.OK,
    "gone": ResponseVerdict.REJECTED,
    "exists": ResponseVerdict.REJECTED,
    "invalid": ResponseVerdict.REJECTED,
    "rejected": ResponseVerdict.REJECTED,
    "denied": ResponseVerdict.DENIED,
    "throttled": ResponseVerdict.THROTTLED,
    "unavailable": ResponseVerdict.UNAVAILABLE,
    "ambiguous": ResponseVerdict.AMBIGUOUS,
}
_SAYS = {
    "gone": ("GONE", "there is no such record"),
    "exists": ("EXISTS", "there is one already"),
    "invalid": ("INVALID", "refused"),
    "rejected": ("REJECTED", "refused"),
}
Values = Callable[[Change], Mapping[str, Scalar]]


def document_of(response: Response) -> Any:
    """The body as JSON; None where it is none."""
    try:
        return parse_json(response.content)
    except ValueError:
        return None


def row_of(table: Sequence[ApiStatusRow], response: Response) -> ApiStatusRow | None:
    """The first row that matches. The body is read only where a row asks for it."""
    document: Any = None
    for row in table:
        if not row.matches_status(response.status_code):
            continue
        if row.at is None:
            return row
        document = document if document is not None else document_of(response)
        if equals(at(document, row.at), row.equals):
            return row
    return None


def session_verdict(table: Sequence[ApiStatusRow]) -> Callable[[Response], ResponseVerdict | None]:
    def read(response: Response) -> ResponseVerdict | None:
        row = row_of(table, response)
        return None if row is None else _SESSION[row.verdict]

    return read


def verdict_of(table: Sequence[ApiStatusRow], response: Response) -> OfRecord:
    """Of an answer that the session let through."""
    row = row_of(table, response)
    if row is not None and row.verdict in ("ok", "accepted", "gone", "exists", "invalid", "rejected"):
        return row.verdict  # type: ignore[return-value]  # mypy does not narrow a Literal by `in`
    if response.is_success:
        return "accepted" if response.status_code == 202 else "ok"
    return "gone" if response.status_code in (404, 410) else "rejected"


def outcome(change: Change, verdict: OfRecord, id_: str | None, code: str | None, said: str) -> Outcome:
    """What a verdict means for this change. A delete of what is gone is done."""
    if verdict == "gone" and change.op is Operation.DELETE:
        return Outcome(change.ordinal, Status.OK, change.destination_id)
    if verdict in ("ok", "accepted"):
        return Outcome(change.ordinal, Status.OK if verdict == "ok" else Status.ACCEPTED, id_)
    own, words = _SAYS[verdict]
    message = f"{words}: {said}" if said else words
    return Outcome(change.ordinal, Status.REJECTED, None, "Rejected", code or own, message, in_row=verdict == "invalid")


def id_in_answer(object_: ApiObject, response: Response, document: Any) -> str | None:
    """Where the answer has it, or at the end of the address in `Location`."""
    if (found := as_text_of(at(document, object_.id))) is not None:
        return found
    last = urlsplit(response.headers.get("location", "")).path.rstrip("/").rpartition("/")[2]
    return unquote(last) or None


@dataclass(frozen=True, slots=True)
class ResultReader:
    """What answers say of each change. `values`: the columns that are known of a change; `mask` takes what no message
    may hold out of a text of the answer."""

    specs: Sequence[ApiResults]
    unnamed: Unnamed
    values: Values
    mask: Callable[[str], str]

    def read(self, documents: Iterable[Any], changes: Sequence[Change]) -> list[Outcome]:
        """One outcome for each change: the first that a result names, unless another says that it was taken and this
        one that it was not, which is unknown. One that no result names is unknown, or as `unnamed` says, unless a list
        that has to be there is not, or a result is of nobody that is known here."""
        given: dict[int, Outcome] = {}
        stands, strays = False, False
        for document in documents:
            for spec in self.specs:
                items = listed(document, spec.at)
                named = list(_named(spec, items or [], changes, self.values))
                stands = stands or items is not None or (spec.optional and isinstance(document, dict))
                strays = strays or len(named) < len(items or [])
                for change, item in named:
                    said = self._outcome(spec, change, item)
                    earlier = given.setdefault(change.ordinal, said)
                    if (earlier.status is Status.REJECTED) != (said.status is Status.REJECTED):
                        given[change.ordinal] = lost(
                            change, "the answer says of this record that it was taken and refused"
                        )
        silence = self.unnamed if stands and not strays else "unknown"
        return [given.get(c.ordinal) or _unnamed(c, silence) for c in changes]

    def _outcome(self, spec: ApiResults, change: Change, item: Any) -> Outcome:
        said = as_text_of(at(item, spec.message))
        return outcome(
            change,
            next((v.verdict for v in spec.verdicts if equals(at(item, v.at), v.equals)), spec.otherwise),
            as_text_of(at(item, spec.id)) or change.destination_id,
            one_word(as_text_of(at(item, spec.code))),
            self.mask(said) if said else "",
        )


def _unnamed(change: Change, silence: Unnamed) -> Outcome:
    return lost(change) if silence == "unknown" else outcome(change, silence, change.destination_id, None, "")


def lost(change: Change, said: str = "the answer says nothing of this record") -> Outcome:
    return Outcome(change.ordinal, Status.UNKNOWN, None, "Ambiguous", "NO_RESULT", said)


def as_text_of(data: Any) -> str | None:
    """A value of an answer as text; None for what is no value."""
    if data is None or isinstance(data, dict | list):
        return None
    return as_text(data) or None


def _named(
    spec: ApiResults, items: list[Any], changes: Sequence[Change], values: Values
) -> Iterator[tuple[Change, Any]]:
    if spec.by == "order":
        if len(items) == len(changes):  # else nobody knows which one is missing
            yield from zip(changes, items, strict=True)
        return
    if spec.by == "index":
        for item in items:
            n = at(item, spec.key)
            if isinstance(n, int) and not isinstance(n, bool) and 0 <= n < len(changes):
                yield changes[n], item
        return
    by_name: dict[str, list[Change]] = {}
    for change in changes:
        by_name.setdefault(_name(spec, change, values), []).append(change)
    for item in items:
        name = as_text_of(at(item, spec.key))
        found = by_name.get(_folded(name), []) if name is not None else []
        if len(found) == 1:
            yield found[0], item


def _name(spec: ApiResults, change: Change, values: Values) -> str:
    if spec.key_is == "key":
        return _folded(change.key)
    if spec.key_is == "id":
        return _folded(change.destination_id or "")
    return _folded(as_text(values(change).get(spec.key_is)))


def _folded(name: str) -> str:
    """Vendors repeat an address in small letters; two of ours that differ by that alone are told apart by none."""
    return name.strip().lower()


def equals(found: Any, wanted: Any) -> bool:
    any_of = wanted if isinstance(wanted, list) else [wanted]
    return any(found == w and isinstance(found, bool) == isinstance(w, bool) for w in any_of)
