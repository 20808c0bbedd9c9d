"""Dropcontact: enriches batches of up to 250, asked for later or sent to a callback. Shapes, credits and reasons: docs;
the wording for a wrong token, too few credits and the dollar price: unconfirmed.

Its dialect: status 200 with `success: false` means not ready, unknown and "trouble on our side" alike. A credit is
taken for each record when it is sent and given back where no email is found; an email that was sent in is verified,
and that is not given back.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from aiohttp import web

from revetl.sandbox.data_vendors.billing import Charge
from revetl.sandbox.data_vendors.jobs import Callbacks, VendorJob, VendorJobs, is_loopback
from revetl.sandbox.data_vendors.knowledge import VendorRecord
from revetl.sandbox.data_vendors.mailboxes import judge
from revetl.sandbox.data_vendors.matching import find_company, find_person, names
from revetl.sandbox.data_vendors.truth import TruePerson, domain_key
from revetl.sandbox.data_vendors.vendor import DataVendor, DataVendorOptions, VendorAnswer, VendorRefusal, json_body
from revetl.sandbox.faults import FAULT
from revetl.sandbox.vendor import Routes, VendorContext

CREDIT, USD = Decimal(1), Decimal("0.05")
BATCH_MAX = 250
PER_SECOND = 60
KEPT_DAYS = 30
NOT_READY = "Request not ready yet, try again in 30 seconds"

_REFUSALS = {
    "bad_key": (401, "Invalid access token"),
    "throttled": (429, "Too many requests"),
    "out_of_credits": (403, "Not enough credits"),
}


class Dropcontact(DataVendor):
    """Any token serves except one with `bad` (401)."""

    name = "dropcontact"

    def __init__(self, context: VendorContext, options: DataVendorOptions) -> None:
        super().__init__(context, options)
        self._window = self.fixed_window(PER_SECOND, 1)
        self._jobs = VendorJobs(self.clock, self.job_s, KEPT_DAYS)
        self._callbacks = Callbacks(self.clock)

    def reset(self, *, keep_records: bool = False) -> None:
        super().reset(keep_records=keep_records)
        self._jobs.clear()

    async def close(self) -> None:
        await self._callbacks.close()

    def add_routes(self, routes: Routes) -> None:
        routes.post("/v1/enrich/all", self.serve(self._submit))
        routes.get("/v1/enrich/all/{request_id}", self.serve(self._fetch))
        routes.get("/v1/account/credits", self.serve(self._credits))

    async def key_of(self, request: web.Request) -> str:
        return request.headers.get("X-Access-Token", "")

    def refusal(self, kind: str) -> VendorRefusal:
        if kind == "unavailable":
            return VendorRefusal(500, {"detail": "Internal Server Error"}, kind)
        return _refusal(*_REFUSALS[kind], why=kind)

    def settle(self) -> None:
        for job in self._jobs.due():
            self._settle_job(job)

    async def _submit(self, request: web.Request, key: str) -> VendorAnswer:
        self.refuse_bad_key(key)
        self.take(key, self._window)
        body = await json_body(request)
        records = body.get("data") if isinstance(body, dict) else None
        if not isinstance(records, list) or not records or not all(isinstance(r, dict) for r in records):
            raise _refusal(400, "Missing data in JSON")
        if len(records) > BATCH_MAX:
            raise _refusal(400, f"Too many records, you can only submit up to {BATCH_MAX} records")
        self.afford(key, CREDIT * len(records))
        url = body.get("custom_callback_url")
        if url is not None and not is_loopback(str(url)):
            raise _refusal(400, "custom_callback_url must be on loopback: the sandbox calls nobody else")
        fault = request.get(FAULT)
        job = self._jobs.start(uuid.uuid4().hex[:15], key, [(r, self._find(r)) for r in records], fault)
        charges = tuple(Charge(_subject(known), CREDIT, USD, "hold") for _, known in job.asked)
        if url is not None:
            self._callbacks.schedule(str(url), lambda: self._message(job), self.job_s, fault)
        left = int(self.bill.remaining(key)) - len(records)
        body = {"error": False, "success": True, "request_id": job.id, "credits_left": left}
        return VendorAnswer(body, "submitted", charges, reference=job.id)

    async def _fetch(self, request: web.Request, key: str) -> VendorAnswer:
        """With `forceResults=true` what is there by now; here all or nothing of a record is."""
        self.refuse_bad_key(key)
        self.take(key, self._window)
        self.settle()
        fault = request.get(FAULT)
        job = self._jobs.get(request.match_info["request_id"], key)
        ready = job is not None and job.settled and (fault is None or fault.kind != "never_done")
        if job is None or not ready:
            return VendorAnswer({"error": False, "success": False, "reason": NOT_READY}, "not_ready")
        return VendorAnswer({**job.result, "credits_left": int(self.bill.remaining(key))}, "polled", reference=job.id)

    async def _credits(self, request: web.Request, key: str) -> VendorAnswer:
        self.refuse_bad_key(key)
        return VendorAnswer({"credits": int(self.bill.remaining(key))}, "account")

    def _message(self, job: VendorJob) -> tuple[bytes, Mapping[str, str]]:
        """A list of events (docs). Unsigned: the address is the secret."""
        self._settle_job(job)
        event = {
            "id": uuid.uuid5(uuid.NAMESPACE_OID, job.id).hex,
            "version": 1,
            "event_type": "enrich_api_result",
            "occurred_at": int(self.clock.now().timestamp()),
            "data": {"data": job.result["data"], "request_id": job.id},
        }
        return json.dumps([event]).encode(), {}

    def _settle_job(self, job: VendorJob) -> None:
        if job.settled:
            return
        job.settled = True
        answers = [self._describe(record, known) for record, known in job.asked]
        unpaid = [
            Charge(_subject(known), -CREDIT, -USD, "refund")
            for (_, known), answer in zip(job.asked, answers, strict=True)
            if not answer.get("email")  # an email that was sent in stands there, judged
        ]
        self.bill.charge(job.key, job.id, unpaid)
        job.result = {"error": False, "success": True, "data": answers}

    def _find(self, record: Mapping[str, Any]) -> VendorRecord[TruePerson] | None:
        texts = {name: value for name, value in record.items() if isinstance(value, str)}
        first, last = names(texts, full="full_name")
        companies = (texts.get("website", ""), texts.get("company_linkedin", ""), texts.get("company", ""))
        person, _ = find_person(
            self.world,
            profile=texts.get("linkedin", ""),
            email=texts.get("email", ""),
            phone=texts.get("phone", ""),
            first=first,
            last=last,
            companies=companies,
        )
        return self.knowledge.person(self.world, person) if person is not None else None

    def _describe(self, record: Mapping[str, Any], known: VendorRecord[TruePerson] | None) -> dict[str, Any]:
        """What came in, completed; only keys that have a value (docs)."""
        texts = {name: value for name, value in record.items() if isinstance(value, str) and value}
        answer: dict[str, Any] = {**texts}
        answer.pop("email", None)
        emails = []
        if known is not None:
            person = known.record
            employer = self.world.companies.get(person.company_id or "")
            company = self.knowledge.company(self.world, employer) if employer else None
            answer |= {
                "first_name": person.first_name,
                "last_name": person.last_name,
                "full_name": " ".join(filter(None, (person.first_name, person.last_name))),
                "phone": person.phone or texts.get("phone"),
                "linkedin": person.linkedin_url or texts.get("linkedin"),
                "job": person.job_title or texts.get("job"),
                "job_level": person.seniority,
                "company": employer.name if employer else texts.get("company"),
                "website": employer.domain if employer else texts.get("website"),
                "nb_employees": str(company.record.employee_count)
                if company and company.record.employee_count
                else None,
                "company_linkedin": company.record.linkedin_url if company else None,
            }
            if person.email:
                emails.append({"email": person.email.lower(), "qualification": self._qualified(person.email)})
        elif employer := find_company(self.world, texts.get("website", ""), texts.get("company", "")):
            answer |= {"company": employer.name, "website": employer.domain}
        given = texts.get("email", "").lower()
        if given and given not in [e["email"] for e in emails]:
            emails.append({"email": given, "qualification": self._judged(given)})
        answer["email"] = emails
        if isinstance(record.get("custom_fields"), dict):
            answer["custom_fields"] = record["custom_fields"]
        return {name: value for name, value in answer.items() if value}

    def _qualified(self, email: str) -> str:
        return "catch_all@pro" if self.knowledge.catch_all(domain_key(email.rpartition("@")[2])) else "nominative@pro"

    def _judged(self, email: str) -> str:
        verdict, why = judge(self.world, self.knowledge, email)
        words = {"valid": "nominative@pro", "catch-all": "catch_all@pro", "do_not_mail": "generic@pro"}
        return words.get(verdict, "invalid@invalid" if why == "no_dns_entries" else "invalid@pro")


def _subject(known: VendorRecord[TruePerson] | None) -> str:
    return known.record.person_id if known else "unknown"


def _refusal(status: int, reason: str, why: str = "bad_request") -> VendorRefusal:
    return VendorRefusal(status, {"error": True, "reason": reason, "success": False}, why)
