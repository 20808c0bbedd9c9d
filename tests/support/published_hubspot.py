"""What our HubSpot connector and the sandbox said to each other, held against the vendor's published descriptions."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from unittest import mock

import pytest
from aiohttp import web

from revetl.sandbox.vendor import Handler, Routes
from tests.support.published_api import Exchange, published

SPECS = Path(os.environ.get("REVETL_SPECS_DIR") or Path(__file__).resolve().parents[3] / "shared/specs")
FOLDER = SPECS / "hubspot"

_PARTIAL = "an error of a 207 leaves these out (captured)"
_NO_PARTIAL = "no partial success is described for this version, and how it tells of one bad record is not known"
_SEARCH = "a search needs filterGroups alone (live)"
_UNLABELLED = "an unlabelled type of link has the label null (docs)"
# Where what is sent and answered is otherwise than described, and why; docs/design/hubspot.md says how sure that is.
# Patterns, as file names have them: [*] is the star that stands for an index or the name of a field.
DIFFERENCES = {
    # What the connector sends.
    "GET /account-info/v3/details request: is not described": "account information is not among the files",
    "POST /oauth/v2/private-apps/get/access-token-info request: is not described": "a page of the docs describes it",
    "POST */search request: the body lacks 'after'": _SEARCH,
    "POST */search request: the body lacks 'sorts'": _SEARCH,
    "POST /crm/*properties/*{objectType} request: the body lacks '*'": "whether a token may write is tried with an"
    " empty request, which changes nothing and is refused as invalid where it may",
    # What the sandbox answers, as live traffic does.
    "* answer: 20?: the body/results/[*]/properties/[*] is null, not string": "unset values come as null (live)",
    "* answer: 207: the body/errors/[*] lacks 'errors'": _PARTIAL,
    "* answer: 207: the body/errors/[*] lacks 'links'": _PARTIAL,
    "* answer: 207: the body/errors/[*]/subCategory is string, not object": "it is a text in batch errors (live)",
    "* answer: an error: the body/status is not described": "every captured refusal has the status error",
    "GET * answer: an error: the body lacks 'category'": "an object that there is not is refused without (measured by"
    " a third party)",
    "GET /crm/*owners* answer: 200: the body/results/[*]/userId is null, not integer": "of one who left (docs)",
    "GET * answer: 200: the body/results/[*]/label is null, not string": _UNLABELLED,
    "POST * answer: 20?: the body/results/[*]/to/[*]/associationTypes/[*]/label is null, not string": _UNLABELLED,
    "POST /crm/objects/2026-09/{objectType}/batch/* answer: 207 is not described": _NO_PARTIAL,
    "POST /crm/associations/2026-09/*/batch/* answer: 207 is not described": _NO_PARTIAL,
}


@contextmanager
def recorded() -> Iterator[list[Exchange]]:
    """What the connector sends to every HubSpot sandbox that is built meanwhile, and what it is answered. Faults, which
    stand between the two, are left out: they are no answers of HubSpot's."""
    exchanges: list[Exchange] = []
    add = Routes.add

    def recording(self: Routes, method: str, path: str, handler: Handler) -> None:
        async def handle(request: web.Request) -> web.StreamResponse:
            answer = await handler(request)
            if request.headers.get("user-agent", "").startswith("revetl/"):
                sent = (await request.read()).decode()  # kept by aiohttp since the handler read it
                answered = answer.body.decode() if isinstance(answer, web.Response) and answer.body else ""
                query = tuple(request.query.items())
                exchanges.append(Exchange(request.method, request.path, query, sent, answer.status, answered))
            return answer

        add(self, method, path, handle if self._mount == "" else handler)

    with mock.patch.object(Routes, "add", recording):
        yield exchanges


def differences(exchanges: list[Exchange]) -> list[str]:
    """All of them, those of the list too."""
    api = published(FOLDER)
    return sorted({str(difference) for exchange in exchanges for difference in api.differences(exchange)})


def unlisted(found: Iterable[str]) -> list[str]:
    return [difference for difference in found if not any(fnmatchcase(difference, known) for known in DIFFERENCES)]


def outdated(found: Iterable[str]) -> list[str]:
    """Entries of the list that nothing is an example of."""
    found = list(found)
    return [known for known in DIFFERENCES if not any(fnmatchcase(difference, known) for difference in found)]


@pytest.fixture
def as_published() -> Iterator[None]:
    """What the connector sends in a test, and what it is answered, agrees with the vendor's published descriptions,
    but for the list above. Nothing is compared where they are not here."""
    if not FOLDER.is_dir():
        yield
        return
    with recorded() as exchanges:
        yield
    if found := unlisted(differences(exchanges)):
        pytest.fail("otherwise than published:\n" + "\n".join(found))
