"""Records as the API gives them: looked up by a field, read by id, or the whole list searched."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from revetl.destinations.base import RecordMatch
from revetl.destinations.http.answers import ApiPaging, ApiStatusRow
from revetl.destinations.http.given_address import linked_next, request_of_address
from revetl.destinations.http.grammar import ApiObject, ApiQuestion
from revetl.destinations.http.results import as_text_of, document_of, verdict_of
from revetl.destinations.http.syntax import fill
from revetl.destinations.http.values import as_text, at, leaves, listed
from revetl.errors import Ambiguous, Denied
from revetl.http import Response, Session, SessionRequest
from revetl.model import Scalar

MOST_PAGES = 1_000
SEARCHED_ROWS = 1_000  # values that one reading of a whole list answers


class ApiReader:
    """Asks one account. `status` is its table; `base_url` is where all of its pages lie."""

    def __init__(self, name: str, session: Session, base_url: str, status: Sequence[ApiStatusRow]) -> None:
        self._name, self._session, self._base_url, self._status = name, session, base_url, status

    async def find(
        self,
        object_: ApiObject,
        question: ApiQuestion,
        values: Sequence[Scalar],
        fields: Sequence[str],
        form_of: Callable[[str, Mapping[str, Any]], str | None],
    ) -> dict[str, RecordMatch]:
        """The records that were asked for, by what `form_of` (id, fields) says of each; the first of those that have
        the same. None of it leaves out what the vendor gives beside them."""
        found: dict[str, RecordMatch] = {}
        for asked in _asked(question, values):
            async for record in self._records(question, asked):
                id_ = as_text_of(at(record, object_.id))
                inner = at(record, question.record)
                if id_ is None or not isinstance(inner, dict):
                    continue
                form = form_of(id_, inner)
                if form is not None:
                    found.setdefault(form, RecordMatch(id_, leaves(inner, iter(fields))))
        return found

    async def _records(self, question: ApiQuestion, asked: Sequence[str]) -> AsyncIterator[dict[str, Any]]:
        params = dict(question.query)
        if question.param is not None:
            params[question.param] = ",".join(asked)
        path = question.path
        if "{value}" in path:
            if asked[0] in ("", ".", ".."):
                return  # no record has such a name: the address would be another
            path = fill(path, {"value": quote(asked[0], safe="")})
        request = SessionRequest("GET", path, params=params, shown_as=question.path)
        async for document in self.pages(request, question.page, lambda page: listed(page, question.records)):
            for record in listed(document, question.records) or []:
                if isinstance(record, dict):
                    yield record

    async def pages(
        self, request: SessionRequest, page: ApiPaging | None, items: Callable[[Any], list[Any] | None]
    ) -> AsyncIterator[Any]:
        """The documents of a list, one after the other; none where the answer says that there is nothing. `items`: what
        a page holds, None where it is no page: Ambiguous."""
        count, seen = page.first if page else 0, set[str]()
        if page is not None and page.param is not None and page.next is None:
            request = replace(request, params={**request.params, page.param: str(count)})
        for _ in range(MOST_PAGES):
            document, response = await self.ask(request)
            if document is None and not _says_nothing(response, verdict_of(self._status, response)):
                # Taken for an empty list, a body that was cut would have its records made a second time.
                raise Ambiguous(f"{self._name} answered {request.target} with a body that is no JSON")
            found = [] if document is None else items(document)
            if found is None:
                raise Ambiguous(f"{self._name} answered {request.target} without the list that should stand there")
            yield document
            if page is None or document is None:
                return
            if page.param is not None and page.next is None:
                if not found:
                    return
                count += len(found) if page.counts == "records" else 1
                request = replace(request, params={**request.params, page.param: str(count)})
                continue
            onward = linked_next(response) if page.link_header else as_text_of(at(document, page.next_url or page.next))
            if onward is None:
                return
            if onward in seen:
                break
            seen.add(onward)
            if page.param is not None:
                request = replace(request, params={**request.params, page.param: onward})
            else:
                request = request_of_address(self._name, self._base_url, request, onward)
        raise Ambiguous(f"{self._name}: {request.target} gives the same page again, or has over {MOST_PAGES} of them")

    async def ask(self, request: SessionRequest) -> tuple[Any, Response]:
        """The answer with its document; None where it says that there is nothing. Denied where the question itself is
        refused."""
        response = await self._session.send(request, idempotent=True)
        verdict = verdict_of(self._status, response)
        if verdict == "gone":
            return None, response
        if verdict not in ("ok", "accepted"):
            said = self._session.excerpt(response)
            message = f"{self._name} answered {response.status_code} to a question: GET {request.target}"
            # Taken for "not found", a wrong question would have every record made a second time.
            raise Denied(message + (f": {said}" if said else ""), status=response.status_code)
        return document_of(response), response


def _says_nothing(response: Response, verdict: str) -> bool:
    """Whether an answer without a document says that there is nothing, and not that it can't be read."""
    return verdict == "gone" or response.status_code == 204 or response.content.strip() == b"null"


def _asked(question: ApiQuestion, values: Sequence[Scalar]) -> list[list[str]]:
    """The values of each call. One with a comma is asked for alone, since commas join them."""
    if question.param is None and "{value}" not in question.path:
        return [[]]
    texts = [as_text(value) for value in values]
    if question.rows == 1:
        return [[text] for text in texts]
    alone = [[text] for text in texts if "," in text]
    plain = [text for text in texts if "," not in text]
    return alone + [plain[i : i + question.rows] for i in range(0, len(plain), question.rows)]
