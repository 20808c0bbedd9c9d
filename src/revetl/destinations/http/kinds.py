"""What an account can do beside writing follows from what is described: with `look_up` records are found, with
`read_back` they are read, with `job` many are handed over at once. `connect` gives the class that has just that, since
a connector has a capability by having its methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from revetl.clock import Clock
from revetl.destinations.base import Destination, RecordMatch
from revetl.destinations.http.connector import HttpApi
from revetl.destinations.http.grammar import request_of
from revetl.destinations.http.options import Options
from revetl.destinations.http.values import leaves
from revetl.errors import Ambiguous, ConfigError, Rejected
from revetl.http import Transport
from revetl.model import Change, Outcome, Scalar


class SearchableApi(HttpApi):
    """With `look_up`."""

    async def look_up(
        self, object_: str, match_on: str, values: Sequence[Scalar], fields: Sequence[str]
    ) -> Mapping[str, RecordMatch]:
        found = self._object(object_)
        question = found.look_up
        if question is None or match_on not in question.by:
            by = ", ".join(question.by) if question else "nothing"
            message = f"{self.name} {object_} can't be looked up by {match_on!r}"
            raise ConfigError(message, hint=f"It is looked up by {by}.")
        wanted = {self.normalise(object_, match_on, value) for value in values}

        def form_of(_: str, record: Mapping[str, Any]) -> str | None:
            value = _value(record, match_on)
            text = None if value is None else self.normalise(object_, match_on, value)
            return text if text in wanted else None  # vendors also give what only resembles it

        return await self._reader.find(found, question, values, fields, form_of, match_on)


class ReadableApi(HttpApi):
    """With `read_back`."""

    async def read_back(self, object_: str, ids: Sequence[str], fields: Sequence[str]) -> Mapping[str, RecordMatch]:
        found, wanted = self._object(object_), set(ids)
        if found.read_back is None:
            raise ConfigError(f"{self.name} {object_} declares no read_back")
        return await self._reader.find(
            found, found.read_back, ids, fields, lambda id_, _: id_ if id_ in wanted else None
        )


class WholeApi(SearchableApi, ReadableApi):
    """With both."""


class ByIdApi(ReadableApi):
    """With `id_field`: a model may name records by the ids that the vendor gave them. Looked up by nothing else."""

    def id_field(self, object_: str) -> str:
        return str(self._object(object_).id_field)

    async def look_up(
        self, object_: str, match_on: str, values: Sequence[Scalar], fields: Sequence[str]
    ) -> Mapping[str, RecordMatch]:
        if match_on != self.id_field(object_):
            message = f"{self.name} {object_} can't be looked up by {match_on!r}"
            raise ConfigError(message, hint=f"It is looked up by {self.id_field(object_)}.")
        ids = {self.normalise(object_, match_on, value) for value in values} - {""}
        rows, found = self.limits(object_).read_rows, dict[str, RecordMatch]()
        asked = sorted(ids)
        for start in range(0, len(asked), rows):
            found |= await self.read_back(object_, asked[start : start + rows], fields)
        return found


class WholeByIdApi(SearchableApi, ByIdApi):
    """With `look_up` too."""

    async def look_up(
        self, object_: str, match_on: str, values: Sequence[Scalar], fields: Sequence[str]
    ) -> Mapping[str, RecordMatch]:
        of = ByIdApi if match_on == self.id_field(object_) else SearchableApi
        return await of.look_up(self, object_, match_on, values, fields)


class JobsApi(HttpApi):
    """With `job`: of the objects whose requests have it. Plans of all others never go by jobs (`Limits.jobs_from`)."""

    async def submit(self, object_: str, match_on: str | None, changes: Sequence[Change]) -> str:
        op = changes[0].op
        request = request_of(self._object(object_), op)
        if request is None or request.job is None:
            raise Rejected(f"{self.name} {object_} declares no {op.value}", code="NOT_DECLARED")
        builder = self._builder(object_, match_on, request)
        return await self._jobs.submit(builder, request.job, changes, self._repeatable(object_, match_on, op))

    async def follow(self, object_: str, job_id: str, changes: Sequence[Change]) -> list[Outcome] | None:
        request = request_of(self._object(object_), changes[0].op)
        if request is None or request.job is None:
            raise Ambiguous(f"{self.name} {object_} declares no job for this operation any more", code="NO_JOB")
        return await self._jobs.follow(self._builder(object_, None, request), request.job, job_id, changes)


def connect(name: str, options: Options, clock: Clock, transport: Transport | None = None) -> Destination:
    """An account with the capabilities that its objects describe."""
    first = next(iter(options.objects.values()))
    jobs = any(object_.runs_jobs for object_ in options.objects.values())
    by_id = first.id_field is not None
    return _kind(first.look_up is not None, first.read_back is not None, by_id, jobs)(name, options, clock, transport)


@cache
def _kind(searched: bool, read: bool, by_id: bool, jobs: bool) -> type[HttpApi]:
    kinds: dict[tuple[bool, bool], type[HttpApi]] = {
        (False, False): HttpApi,
        (True, False): SearchableApi,
        (False, True): ByIdApi if by_id else ReadableApi,
        (True, True): WholeByIdApi if by_id else WholeApi,
    }
    kind = kinds[searched, read]
    return type(f"Jobs{kind.__name__}", (JobsApi, kind), {}) if jobs else kind


def _value(record: Mapping[str, Any], name: str) -> Scalar:
    return leaves(record, iter((name,)))[name]
