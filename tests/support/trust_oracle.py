"""The trust policy in plain Python, written from its description: what the models' SQL is held against."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import prod
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]
Key = tuple[str, str, str]  # record, field, call


@dataclass(frozen=True)
class Policy:
    fields: Mapping[tuple[str, str], Mapping[str, str]]
    providers: Mapping[tuple[str, str], tuple[int, float]]
    verifications: Mapping[tuple[str, str], float]
    groups: Mapping[str, str]

    @classmethod
    def read(cls, seeds: Path) -> Policy:
        def rows(name: str) -> list[dict[str, str]]:
            with (seeds / f"{name}.csv").open(encoding="utf-8", newline="") as file:
                return list(csv.DictReader(file))

        return cls(
            {(r["entity"], r["field"]): r for r in rows("trust_fields")},
            {
                (r["provider"], r["field"]): (int(r["provider_rank"]), float(r["weight"]))
                for r in rows("trust_providers")
            },
            {(r["field"], r["verification"]): float(r["weight"]) for r in rows("trust_verifications")},
            {r["vendor"]: r["source_group"] for r in rows("source_groups")},
        )

    def provider(self, name: str, field: str) -> tuple[int, float]:
        vendor = name.partition(".")[0]
        exact = [(p, f) for p in (name, vendor, "*") for f in (field, "*")]
        return next(self.providers[at] for at in exact if at in self.providers)

    def verification(self, field: str, verdict: str | None) -> float:
        exact = [(f, verdict or "none") for f in (field, "*")]
        return next(self.verifications[at] for at in exact if at in self.verifications)


@dataclass
class Judged:
    row: Row
    said: str
    score: float
    rank: int
    group: str
    out: str | None
    reason: str = ""


def same(field: str, value: str) -> str:
    if field == "phone":
        return re.sub(r"\D", "", value)
    if field == "linkedin_url":
        return re.sub(r"/+$", "", re.sub(r"^(https?://)?(www\.)?", "", value.strip().lower()))
    return value.strip().lower()


def decide(golden: Mapping[str, Row], values: Sequence[Row], policy: Policy, now: datetime) -> dict[Key, str]:
    """(record, field, call) → the reason, for the values of contacts. The rule `if_newer` is not in here."""
    contacts = [v for v in values if v["entity"] == "golden_contacts" and v["key"] in golden]
    answers: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for v in contacts:
        answers[v["key"], v["call_id"]][v["field"]] = v["value"]
    by_field: dict[tuple[str, str], list[Judged]] = defaultdict(list)
    for v in contacts:
        judged = _judge(v, golden[v["key"]], answers[v["key"], v["call_id"]], policy, now)
        by_field[v["key"], v["field"]].append(judged)
    decided: dict[Key, str] = {}
    countries = {}
    for (key, field), judged in sorted(by_field.items(), key=lambda item: item[0][1] == "city"):
        own = golden[key].get(field)
        _supersede(judged)
        if field == "city":
            final = countries.get(key, golden[key].get("country"))
            for j in judged:
                there = answers[key, j.row["call_id"]].get("country")
                if j.out is None and not _is_own(field, j.said, own) and final is not None:
                    j.out = "other_place" if (there or "").strip().lower() != final.strip().lower() else None
        _rank(field, [j for j in judged if j.out is None], own, policy)
        for j in judged:
            decided[key, field, j.row["call_id"]] = j.out or j.reason
            if field == "country" and j.reason == "won":
                countries[key] = j.row["value"]
    return decided


def _judge(v: Row, record: Row, answer: Mapping[str, str], policy: Policy, now: datetime) -> Judged:
    field, own = v["field"], record.get(v["field"])
    rules = policy.fields["golden_contacts", field]
    rank, weight = policy.provider(v["provider"], field)
    verdict = policy.verification(field, v.get("verification"))
    sure = float(rules["confidence_if_none"]) if v.get("confidence") is None else v["confidence"]
    age = max(0, (now.date() - v["observed_at"].date()).days)
    recency = 0.5 ** (age / float(rules["half_life_days"])) if rules["half_life_days"] else 1.0
    score = round(weight * (1 - float(rules["confidence_weight"]) * (1 - sure)) * verdict * recency, 6)
    vendor = v["provider"].partition(".")[0]
    said = same(field, v["value"])
    city = record.get("city")
    city_stays = city is not None and policy.fields["golden_contacts", "city"]["over_first_party"] != "always"
    out = None
    if v.get("rejected_reason") and rules["judged_by"] == "waterfall":
        out = v["rejected_reason"]
    elif v.get("expires_at") is not None and v["expires_at"] <= now:
        out = "expired"
    elif sure < float(rules["min_confidence"]):
        out = "low_confidence"
    elif verdict == 0:
        out = v.get("verification") or "not_verified"
    elif weight == 0:
        out = "not_trusted"
    elif field == "country" and city_stays and not _is_own(field, said, own):
        out = None if (answer.get("city") or "").strip().lower() == str(city).strip().lower() else "other_place"
    return Judged(v, said, score, rank, policy.groups.get(vendor, vendor), out)


def _supersede(judged: list[Judged]) -> None:
    newest: dict[str, Judged] = {}
    for j in judged:
        if j.out is None:
            held = newest.setdefault(j.row["provider"], j)
            if (j.row["observed_at"], j.row["call_id"]) > (held.row["observed_at"], held.row["call_id"]):
                newest[j.row["provider"]] = j
    for j in judged:
        if j.out is None and newest[j.row["provider"]] is not j:
            j.out = "superseded"


def _rank(field: str, judged: list[Judged], own: str | None, policy: Policy) -> None:
    statements: dict[str, list[Judged]] = defaultdict(list)
    for j in judged:
        statements[j.said].append(j)

    def standing(said: str) -> tuple[int, float, str]:
        groups: dict[str, float] = defaultdict(float)
        for j in statements[said]:
            groups[j.group] = max(groups[j.group], j.score)
        support = 1 - prod(1 - min(score, 0.999999) for score in groups.values())
        return min(j.rank for j in statements[said]), -round(support + 1e-9, 6), said

    order = sorted(
        judged,
        key=lambda j: (
            standing(j.said),
            j.rank,
            -j.score,
            -j.row["observed_at"].timestamp(),
            j.row["provider"],
            j.row["value"],
            j.row["call_id"],
        ),
    )
    if not order:
        return
    best = order[0]
    for j in order[1:]:
        behind = "provider_rank" if standing(j.said)[0] > standing(best.said)[0] else "less_trusted"
        j.reason = "agrees" if j.said == best.said else behind
    over = policy.fields["golden_contacts", field]["over_first_party"]
    if own is None:
        best.reason = "won"
    elif _is_own(field, best.said, own):
        best.reason = "same_as_first_party"
    else:
        replaces = over == "always" or (over == "if_verified" and best.row.get("verification") == "valid")
        best.reason = "won" if replaces else "first_party"


def _is_own(field: str, said: str, own: str | None) -> bool:
    return own is not None and same(field, own) == said
