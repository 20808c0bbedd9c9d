"""The Salesforce destination: what goes which way. Facts of the vendor are in docs/design/salesforce.md."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from revetl.clock import Clock
from revetl.destinations.base import NO_JOBS, Destination, Limits, ObjectSchema, Quota, RecordMatch
from revetl.destinations.capabilities import TokenScopes
from revetl.destinations.salesforce import api, lead_or_contact
from revetl.destinations.salesforce.bulk import BulkIngest
from revetl.destinations.salesforce.lead_or_contact import LeadOrContactReader
from revetl.destinations.salesforce.options import Options
from revetl.destinations.salesforce.reading import ID, SoqlReader
from revetl.destinations.salesforce.schema import DescribedField, OrgSchema
from revetl.destinations.salesforce.values import canonical, encode, is_id, whole_id
from revetl.destinations.salesforce.writing import CollectionItem, CollectionRoute, CollectionWriter
from revetl.destinations.session_destination import SessionDestination
from revetl.errors import ConfigError
from revetl.http import Policy, Response, ResponseRules, Session, SessionOptions, Transport
from revetl.model import Change, Operation, Outcome, Scalar

_READ_ROWS = 400


class Salesforce(SessionDestination):
    """One org. A create through an external id is an upsert, and can be repeated; any other is looked for first."""

    def __init__(
        self,
        name: str,
        options: Options,
        clock: Clock,
        *,
        transport: Transport | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.name = name
        self._options = options
        self._usage: tuple[int, int] | None = None
        base_url = options.base_url.rstrip("/")
        self._token = options.auth.token(base_url)
        self._session = Session(
            name,
            base_url,
            SessionOptions(
                headers={
                    "sforce-auto-assign": "TRUE" if options.assignment_rules else "FALSE",
                    "sforce-duplicate-rule-header": f"allowSave={'true' if options.allow_duplicates else 'false'}",
                },
                policy=Policy(timeout_s=options.timeout_s, deadline_s=max(180.0, 2 * options.timeout_s)),
                allow_insecure=options.allow_insecure,
                auth=[self._token],
            ),
            ResponseRules(
                verdict=api.verdict,
                retry_after_s=api.wait_s,
                error_code=api.error_code,
                readable=api.readable,
                on_response=self._observe,
            ),
            transport=transport,
            clock=clock,
            rng=rng,
        )
        self._path = f"/services/data/{options.api_version}"
        self._schema = OrgSchema(self._session, self._path)

    async def check(self) -> str:
        once = Policy(timeout_s=10.0, max_attempts=1)
        response = await self._session.request("GET", f"{self._path}/limits", idempotent=True, policy=once)
        if not response.is_success:
            raise ConfigError(f"{api.refused(self._session, response)}", hint="Is api_version one that the org has?")
        day = api.first_error(response).get("DailyApiRequests") or {}
        return f"{day.get('Remaining')} of {day.get('Max')} requests of the day left; {self._rules()}"

    async def scopes(
        self, object_: str, match_on: str | None, others: Sequence[str], *, makes_fields: bool
    ) -> TokenScopes:
        """`full` holds `api` (docs). Salesforce says a token's scopes beside the token, of some flows."""
        granted = self._token.scopes_granted
        return TokenScopes(("api",), granted | {"api"} if granted is not None and "full" in granted else granted)

    async def describe(self, object_: str) -> ObjectSchema:
        return ObjectSchema({name: known.field for name, known in (await self._fields(object_)).items()})

    async def probe(self, object_: str, match_on: str | None) -> list[str]:
        """As `describe` tells it of this user. Deleting is not asked for here: only a mirror does it."""
        described, found = await self._fields(object_), list[str]()
        for one in _objects(object_):
            lacking = [right for right in await self._schema.refused(one) if right != "delete"]
            found += [f"the object permission {right} on {one}" for right in lacking]
        if match_on is not None and match_on not in described:
            found.append(f"to see the field {match_on} of {object_} (field-level security)")
        elif match_on is not None and match_on != ID and described[match_on].field.read_only:
            found.append(f"to edit the field {match_on} of {object_} (field-level security)")
        return found

    def limits(self, object_: str) -> Limits:
        # Jobs take no headers that run or override rules (unconfirmed), and are of one object.
        asks_for_rules = self._options.assignment_rules or self._options.allow_duplicates
        by_jobs = not asks_for_rules and object_ != lead_or_contact.NAME
        return Limits(
            self._options.batch_rows,
            self._options.concurrency,
            lookup_rows=200,
            read_rows=_READ_ROWS,
            job_rows=10_000,
            job_bytes=8 * 2**20,
            jobs_from=self._options.bulk_from if by_jobs else NO_JOBS,
        )

    def quota(self, object_: str, match_on: str | None) -> Quota:
        used, most = self._usage or (None, None)
        left = most - used if most is not None and used is not None else None
        of_object = lead_or_contact.NOTES if object_ == lead_or_contact.NAME else ()
        return Quota(daily_limit=most, daily_left=left, notes=(*of_object, self._rules()))

    def idempotent(self, object_: str, match_on: str | None) -> bool:
        """By an external id. A Lead that is made again by one may have become a Contact meanwhile."""
        return object_ != lead_or_contact.NAME and self._upserts(object_, match_on)

    def normalise(self, object_: str, field: str, value: Scalar) -> str:
        if object_ == lead_or_contact.NAME:
            if field not in self._schema.known(lead_or_contact.CONTACT):
                return ""
            object_ = lead_or_contact.LEAD
        return canonical(value, self._schema.known(object_).get(field))

    def id_field(self, object_: str) -> str:
        return ID

    async def look_up(
        self, object_: str, match_on: str, values: Sequence[Scalar], fields: Sequence[str]
    ) -> dict[str, RecordMatch]:
        described = await self._fields(object_)
        if match_on not in described:
            raise ConfigError(f"{self.name}: {object_} has no field {match_on!r} to match on")
        if object_ == lead_or_contact.NAME and match_on not in self._schema.known(lead_or_contact.CONTACT):
            raise ConfigError(f"{self.name}: {match_on!r} can't be matched on: Leads have it, and Contacts do not")
        forms = {self.normalise(object_, match_on, value) for value in values} - {""}
        if match_on == ID:  # anything else is an error of the query
            forms = {form for form in forms if is_id(form)}
        return await (await self._reader(object_)).find(match_on, forms, fields)

    async def read_back(self, object_: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, RecordMatch]:
        return await (await self._reader(object_)).read(ids, fields)

    async def write(self, object_: str, match_on: str | None, changes: Sequence[Change]) -> list[Outcome]:
        """A record that was deleted at Salesforce is rejected with the code ENTITY_IS_DELETED: it is not made anew
        behind the back of who deleted it."""
        routed = await self._items(object_, match_on, changes)
        items = [item for _, item in routed]
        routes: dict[CollectionRoute, list[CollectionItem]] = defaultdict(list)
        for route, item in routed:
            if item.outcome is None:
                routes[route].append(item)

        async def read_forms(ids: Sequence[str]) -> Mapping[str, str]:
            found = await self.read_back(object_, ids, [str(match_on)])
            return {i: self.normalise(object_, str(match_on), m.fields[str(match_on)]) for i, m in found.items()}

        writer = CollectionWriter(self._session, read_forms)
        for route, group in routes.items():
            await writer.write(route, group)
        return [item.outcome for item in items if item.outcome is not None]

    async def submit(self, object_: str, match_on: str | None, changes: Sequence[Change]) -> str:
        return await self._bulk(object_, match_on).submit(await self._items(object_, match_on, changes))

    async def follow(self, object_: str, job_id: str, changes: Sequence[Change]) -> list[Outcome] | None:
        return await self._bulk(object_, None).follow(job_id, lambda by: self._items(object_, by, changes))

    def _bulk(self, object_: str, match_on: str | None) -> BulkIngest:
        return BulkIngest(self._session, f"{self._path}/jobs/ingest", object_, match_on)

    async def _items(
        self, object_: str, match_on: str | None, changes: Sequence[Change]
    ) -> list[tuple[CollectionRoute, CollectionItem]]:
        """Each change as it is sent. Without `match_on` nothing is upserted."""
        await self._fields(object_)
        routes = [self._route(object_, match_on, change) for change in changes]
        return [(r, self._item(object_, match_on, r, c)) for r, c in zip(routes, changes, strict=True)]

    def _route(self, object_: str, match_on: str | None, change: Change) -> CollectionRoute:
        path = f"{self._path}/composite/sobjects"
        if object_ == lead_or_contact.NAME:
            object_ = lead_or_contact.object_of(change.destination_id)
        if change.op is Operation.DELETE:
            return CollectionRoute("DELETE", path, object_)
        if change.op is Operation.UPDATE or change.destination_id is not None:
            return CollectionRoute("PATCH", path, object_)
        if self._upserts(object_, match_on):
            return CollectionRoute("PATCH", f"{path}/{object_}/{match_on}", object_, by_id=False)
        return CollectionRoute("POST", path, object_, by_id=False, repeatable=False)

    def _item(
        self,
        object_: str,
        match_on: str | None,
        route: CollectionRoute,
        change: Change,
    ) -> CollectionItem:
        """Already refused where it can't be sent."""
        described = self._schema.known(route.object)
        record: dict[str, Any] = {"attributes": {"type": route.object}}
        form = whole_id(change.destination_id or "")
        if not route.by_id and match_on is not None:
            form = self.normalise(object_, match_on, change.match_value)
        item = CollectionItem(change, record, form)
        fields = {} if route.method == "DELETE" else dict(change.fields)
        if route.by_id:
            record["id"] = form
        elif route.repeatable and match_on is not None:
            fields[match_on] = change.match_value
        for name, value in fields.items():
            known = described.get(name)
            if known is None and name in self._schema.known(lead_or_contact.LEAD) and object_ != route.object:
                continue  # Leads alone have it
            if known is not None and not (known.updateable if route.by_id else known.createable):
                item.left_out.append(name)
                continue
            try:
                _put(record, name, encode(value, known), known)
            except ValueError as e:
                item.refused(e.args[0], f"{name}: {e.args[-1]}")
        if not form and (route.by_id or route.repeatable):
            item.refused("MISSING_ID", f"there is no value for {ID if route.by_id else match_on}")
        return item

    async def _fields(self, object_: str) -> Mapping[str, DescribedField]:
        if object_ != lead_or_contact.NAME:
            return await self._schema.fields(object_)
        return lead_or_contact.fields(*[await self._schema.fields(one) for one in _objects(object_)])

    async def _reader(self, object_: str) -> SoqlReader | LeadOrContactReader:
        readers = [
            SoqlReader(self._session, self._path, one, await self._schema.fields(one)) for one in _objects(object_)
        ]
        return readers[0] if len(readers) == 1 else LeadOrContactReader(*readers)

    def _upserts(self, object_: str, match_on: str | None) -> bool:
        known = self._schema.known(object_).get(match_on or "")
        return known is not None and known.finds and known.reference is None

    def _rules(self) -> str:
        assigned = "run, and may move owners" if self._options.assignment_rules else "are not run"
        duplicates = "are saved where a rule only warns" if self._options.allow_duplicates else "are refused"
        return f"assignment rules {assigned}; duplicates that its rules find {duplicates}"

    def _observe(self, response: Response) -> None:
        self._usage = api.usage(response) or self._usage


def _objects(object_: str) -> tuple[str, ...]:
    """The org's own that it stands for."""
    return (lead_or_contact.LEAD, lead_or_contact.CONTACT) if object_ == lead_or_contact.NAME else (object_,)


def _put(record: dict[str, Any], name: str, value: Any, known: DescribedField | None) -> None:
    """A parent by its external id is `{"Account": {"ExternalId__c": "x"}}` (docs); without one its id is cleared."""
    if known is None or known.reference is None:
        record[name] = value
    elif value is None:
        record[known.reference] = None
    else:
        relationship, _, key = name.partition(".")
        record[relationship] = {key: value}


def connect(name: str, options: Options, clock: Clock) -> Destination:
    return Salesforce(name, options, clock)
