"""Contacts erased for good, one record a call: HubSpot has no batch for it (spec), and nobody can take it back.

By the record's id alone: asked by an address, HubSpot would also bar one that it does not know (docs), which nobody
asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

from revetl.destinations.hubspot import api
from revetl.errors import Ambiguous, CallError
from revetl.http import Session
from revetl.model import ERASED, Change, Outcome, Status


async def erase(session: Session, objects: str, changes: Sequence[Change]) -> list[Outcome]:
    """`objects`: the address of the contacts. One outcome a change. Whom HubSpot does not know any more is erased
    already: a repeat after a lost answer is ok. An error before the first record was sent leaves as it is."""
    outcomes: list[Outcome] = []
    for change in changes:
        try:
            outcomes.append(await _erase(session, objects, change))
        except CallError as e:
            if not outcomes and not isinstance(e, Ambiguous):
                raise
            left = changes[len(outcomes) :]
            kind, said = type(e).__name__, str(e)
            outcomes += [Outcome(c.ordinal, Status.UNKNOWN, c.destination_id, kind, ERASED, said) for c in left]
            break
    return outcomes


async def _erase(session: Session, objects: str, change: Change) -> Outcome:
    id_ = change.destination_id
    if not id_:
        said = "which record is meant is not known"
        return Outcome(change.ordinal, Status.REJECTED, None, "Rejected", "MISSING_ID", said)
    response = await session.request("POST", f"{objects}/gdpr-delete", json={"objectId": id_}, idempotent=True)
    attempts: int = response.extensions["attempts"]
    if response.is_success or response.status_code == 404:
        return Outcome(change.ordinal, Status.OK, id_, error_code=ERASED, attempts=attempts)
    refusal = api.refusal(api.body_of(response))
    return Outcome(change.ordinal, Status.REJECTED, id_, "Rejected", refusal.code, refusal.message, attempts)
