"""FullEnrich: asks many vendors in its turn, for up to 100 contacts at once; the result is polled or comes as a signed
webhook. Shapes, credits, signature, retries and limit: spec and docs; the codes of errors and the dollar price:
unconfirmed.

Its dialect: the result is a 400 while the job runs; out of credits is a 402 whose body is the whole result. The same
contact is free for three months once a job with it is done, not within one job nor among jobs that run at once.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

from aiohttp import web

from revetl.sandbox.data_vendors.billing import Charge, FreeRepeats
from revetl.sandbox.data_vendors.jobs import Callbacks, VendorJob, VendorJobs, is_loopback
from revetl.sandbox.data_vendors.knowledge import VendorRecord
from revetl.sandbox.data_vendors.matching import find_person, names
from revetl.sandbox.data_vendors.truth import TruePerson, domain_key
from revetl.sandbox.data_vendors.vendor import DataVendor, DataVendorOptions, VendorAnswer, VendorRefusal, json_body
from revetl.sandbox.faults import FAULT, Fault
from revetl.sandbox.vendor import Routes, VendorContext

USD = Decimal("0.055")
CREDITS = {"contact.work_emails": Decimal(1), "contact.personal_emails": Decimal(3), "contact.phones": Decimal(10)}
BULK_MAX = 100
PER_MINUTE = 60
KEPT_DAYS = 90
CUSTOM_KEYS_MAX, CUSTOM_CHARS_MAX = 10, 100
# Of the wrong addresses, how many its own verification finds out.
FOUND_OUT = 0.4

_REFUSALS = {
    "bad_key": (401, "error.unauthorized", "Invalid API key"),
    "throttled": (429, "error.rate_limit", "Rate limit exceeded"),
    "out_of_credits": (402, "error.credits_insufficient", "Not enough credits"),
    "unavailable": (503, "error.unavailable", "Service unavailable"),
}


@dataclass(frozen=True, slots=True)
class Contact:
    """One of a job. `free`: the fields that were paid for in a job that was done before this one began."""

    said: Mapping[str, Any]
    known: VendorRecord[TruePerson] | None
    fields: tuple[str, ...]
    free: frozenset[str]

    def question(self, field: str) -> str:
        """Equal inputs, whatever `custom` says (docs)."""
        inputs = {n: v for n, v in self.said.items() if isinstance(v, str)}
        return f"{field} {json.dumps(inputs, sort_keys=True).lower()}"


class FullEnrich(DataVendor):
    """Any key serves except one with `bad` (401)."""

    name = "fullenrich"

    def __init__(self, context: VendorContext, options: DataVendorOptions) -> None:
        super().__init__(context, options)
        self._window = self.fixed_window(PER_MINUTE, 60)
        self._jobs = VendorJobs(self.clock, self.job_s, KEPT_DAYS)
        self._repeats = FreeRepeats(self.clock, KEPT_DAYS)
        self._callbacks = Callbacks(self.clock)

    def reset(self, *, keep_records: bool = False) -> None:
        super().reset(keep_records=keep_records)
        self._jobs.clear()
        self._repeats.clear()

    async def close(self) -> None:
        await self._callbacks.close()

    def add_routes(self, routes: Routes) -> None:
        base = "/api/v2/contact/enrich/bulk"
        routes.post(base, self.serve(self._submit))
        routes.get(base + "/{enrichment_id}", self.serve(self._fetch))
        routes.get("/api/v2/account/credits", self.serve(self._credits))

    async def key_of(self, request: web.Request) -> str:
        return request.headers.get("Authorization", "").removeprefix("Bearer ").strip()

    def refusal(self, kind: str) -> VendorRefusal:
        return _refusal(*_REFUSALS[kind])

    def settle(self) -> None:
        for job in self._jobs.due():
            self._settle_job(job)

    async def _submit(self, request: web.Request, key: str) -> VendorAnswer:
        self.refuse_bad_key(key)
        self.take(key, self._window)
        body = await json_body(request)
        if not isinstance(body, dict) or not body.get("name"):
            raise _refusal(400, "error.validation", "name is required")
        contacts = body.get("data")
        if not isinstance(contacts, list) or not 1 <= len(contacts) <= BULK_MAX:
            raise _refusal(400, "error.validation", f"data must hold 1 to {BULK_MAX} contacts")
        self.afford(key, Decimal(1))
        self.settle()
        asked = [self._contact(key, contact) for contact in contacts]
        events = body.get("webhook_events")
        urls = {
            "done": body.get("webhook_url"),
            "contact": events.get("contact_finished") if isinstance(events, dict) else None,
        }
        if any(url is not None and not is_loopback(str(url)) for url in urls.values()):
            raise _refusal(400, "error.validation", "webhooks must be on loopback: the sandbox calls nobody else")
        fault = request.get(FAULT)
        job = self._jobs.start(str(uuid.uuid4()), key, asked, fault)
        job.result = {"id": job.id, "name": str(body["name"])}
        self._announce(job, urls, fault)
        return VendorAnswer({"enrichment_id": job.id}, "submitted", reference=job.id)

    async def _fetch(self, request: web.Request, key: str) -> VendorAnswer:
        self.refuse_bad_key(key)
        self.take(key, self._window)
        self.settle()
        fault = request.get(FAULT)
        job = self._jobs.get(request.match_info["enrichment_id"], key)
        if job is None:
            raise _refusal(404, "error.enrichment.not_found", "Enrichment not found")
        if not job.settled or (fault is not None and fault.kind == "never_done"):
            if request.query.get("forceResults", "").lower() == "true":
                body = {**job.result, "status": "IN_PROGRESS", "cost": {"credits": 0}, "data": []}
                return VendorAnswer(body, "not_ready")
            raise _refusal(400, "error.enrichment.in_progress", "Enrichment is in progress")
        status = 402 if job.result["status"] == "CREDITS_INSUFFICIENT" else 200
        return VendorAnswer(job.result, "polled", status=status, reference=job.id)

    async def _credits(self, request: web.Request, key: str) -> VendorAnswer:
        self.refuse_bad_key(key)
        return VendorAnswer({"balance": int(self.bill.remaining(key))}, "account")

    def _contact(self, key: str, said: Any) -> Contact:
        if not isinstance(said, dict):
            raise _refusal(400, "error.validation", "a contact is an object")
        texts = {name: value for name, value in said.items() if isinstance(value, str)}
        first, last = names(texts, full="full_name")
        named = first and last and (texts.get("domain") or texts.get("company_name"))
        if not named and not texts.get("linkedin_url"):
            raise _refusal(
                400, "error.validation", "a name with domain or company_name, or a linkedin_url, is required"
            )
        _check_custom(said.get("custom", {}))
        fields = said.get("enrich_fields", ["contact.work_emails"])
        if not isinstance(fields, list) or not fields or not set(fields) <= set(CREDITS):
            raise _refusal(400, "error.validation", f"enrich_fields are of {', '.join(CREDITS)}")
        person, _ = find_person(
            self.world,
            profile=texts.get("linkedin_url", ""),
            first=first,
            last=last,
            companies=(texts.get("domain", ""), texts.get("company_name", "")),
        )
        known = self.knowledge.person(self.world, person) if person is not None else None
        contact = Contact(said, known, tuple(fields), frozenset())
        free = frozenset(f for f in fields if self._repeats.is_free(key, contact.question(f)))
        return Contact(said, known, tuple(fields), free)

    def _announce(self, job: VendorJob, urls: Mapping[str, Any], fault: Fault | None) -> None:
        """One message when the job is done; one for each contact before it, where asked for (docs)."""

        def signed(body: Mapping[str, Any]) -> tuple[bytes, Mapping[str, str]]:
            raw = json.dumps(body, separators=(",", ":")).encode()
            key = "another key" if fault is not None and fault.kind == "callback_forged" else job.key
            return raw, {"X-Signature-SHA1": hmac.new(key.encode(), raw, hashlib.sha1).hexdigest()}

        def of_one(place: int) -> tuple[bytes, Mapping[str, str]]:
            self._settle_job(job)
            return signed({**job.result, "status": "IN_PROGRESS", "data": [job.result["data"][place]]})

        def of_all() -> tuple[bytes, Mapping[str, str]]:
            self._settle_job(job)
            return signed(job.result)

        if urls["contact"] is not None:
            for place in range(len(job.asked)):
                self._callbacks.schedule(str(urls["contact"]), partial(of_one, place), self.job_s, fault)
        if urls["done"] is not None:
            self._callbacks.schedule(str(urls["done"]), of_all, self.job_s, fault)

    def _settle_job(self, job: VendorJob) -> None:
        """Charges contact by contact until the credits are gone; the rest of the job stays empty."""
        if job.settled:
            return
        job.settled = True
        data: list[dict[str, Any]] = []
        spent = Decimal(0)
        status = "FINISHED"
        paid: list[str] = []
        for contact in job.asked:
            info = self._contact_info(contact)
            charges = [_charge(contact, field) for field in contact.fields if _is_paid(info, field)]
            credits = sum((c.credits for c in charges), Decimal(0))
            if self.bill.remaining(job.key) < credits:
                status = "CREDITS_INSUFFICIENT"
            if status == "CREDITS_INSUFFICIENT":
                info, charges = {}, []
            spent += self.bill.charge(job.key, job.id, charges)
            paid += [contact.question(field) for field in contact.fields if _is_paid(info, field)]
            data.append(self._described(contact, info))
        # Nothing promises the order of the request: `custom` says whose an answer is (docs).
        data = [answer for _, answer in sorted(enumerate(data), key=lambda item: self._place(job, item[0]))]
        for question in paid:
            self._repeats.remember(job.key, question)
        job.result = {**job.result, "status": status, "cost": {"credits": int(spent)}, "data": data}

    def _place(self, job: VendorJob, number: int) -> float:
        return self.knowledge.own(job.id, f"place {number}")

    def _contact_info(self, contact: Contact) -> dict[str, Any]:
        person = contact.known.record if contact.known else None
        info: dict[str, Any] = {}
        if person is not None and person.email and contact.known and "contact.work_emails" in contact.fields:
            email = {"email": person.email.lower(), "status": self._status(contact.known)}
            info |= {"most_probable_work_email": email, "work_emails": [email]}
        if person is not None and person.phone and "contact.phones" in contact.fields:
            phone = {"number": person.phone, "region": person.country}
            info |= {"most_probable_phone": phone, "phones": [phone]}
        return info

    def _status(self, known: VendorRecord[TruePerson]) -> str:
        who = known.record.person_id
        if "email" in known.wrong:
            return "INVALID" if self.knowledge.own(who, "found out") < FOUND_OUT else "HIGH_PROBABILITY"
        if self.knowledge.catch_all(domain_key((known.record.email or "").rpartition("@")[2])):
            return "CATCH_ALL"
        return "DELIVERABLE" if self.knowledge.own(who, "verified") < 0.85 else "HIGH_PROBABILITY"

    def _described(self, contact: Contact, info: dict[str, Any]) -> dict[str, Any]:
        said = contact.said
        inputs = {
            "first_name": said.get("first_name"),
            "last_name": said.get("last_name"),
            "company_domain": said.get("domain"),
            "company_name": said.get("company_name"),
            "professional_network_url": said.get("linkedin_url"),
        }
        described: dict[str, Any] = {
            "input": {name: value for name, value in inputs.items() if value},
            "contact_info": info,
            # The profile comes with a question by profile only (docs).
            "profile": self._profile(contact.known) if contact.known and said.get("linkedin_url") else None,
        }
        return {**described, "custom": said["custom"]} if "custom" in said else described

    def _profile(self, known: VendorRecord[TruePerson]) -> dict[str, Any]:
        person = known.record
        employer = self.world.companies.get(person.company_id or "")
        company = {"name": employer.name, "domain": employer.domain} if employer else None
        title = {"title": person.job_title, "is_current": True, "company": company} if person.job_title else None
        return {
            "id": str(uuid.uuid5(uuid.NAMESPACE_OID, person.person_id)),
            "full_name": " ".join(filter(None, (person.first_name, person.last_name))),
            "first_name": person.first_name,
            "last_name": person.last_name,
            "location": {"city": person.city, "country": person.country},
            "social_profiles": {"professional_network": {"url": person.linkedin_url}} if person.linkedin_url else {},
            "employment": {"current": title},
        }


def _is_paid(info: Mapping[str, Any], field: str) -> bool:
    """DELIVERABLE, HIGH_PROBABILITY and CATCH_ALL are charged, INVALID is not (docs)."""
    if field == "contact.phones":
        return "most_probable_phone" in info
    if field == "contact.work_emails":
        email = info.get("most_probable_work_email")
        return email is not None and not email["status"].startswith("INVALID")
    return "most_probable_personal_email" in info


def _charge(contact: Contact, field: str) -> Charge:
    subject = contact.known.record.person_id if contact.known else "unknown"
    if field in contact.free:
        return Charge(subject, Decimal(0), Decimal(0), "free")
    return Charge(subject, CREDITS[field], CREDITS[field] * USD)


def _check_custom(custom: Any) -> None:
    if not isinstance(custom, dict) or len(custom) > CUSTOM_KEYS_MAX:
        raise _refusal(400, "error.validation", f"custom is an object of at most {CUSTOM_KEYS_MAX} keys")
    if not all(isinstance(value, str) and len(value) <= CUSTOM_CHARS_MAX for value in custom.values()):
        raise _refusal(
            400, "error.validation", f"values of custom are strings of at most {CUSTOM_CHARS_MAX} characters"
        )


def _refusal(status: int, code: str, message: str) -> VendorRefusal:
    return VendorRefusal(status, {"code": code, "message": message}, code.removeprefix("error."))
