"""What the order of providers is worth: `python -m benchmarks.order` measures it and writes docs/order.md.

Vendors are those of the sandbox, with their documented hit rates, correlations and resold rows, over made-up people;
prices are those of enrichment/providers. An order is chosen on an audited sample and judged on everybody else.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.report import Section
from revetl.enrich.ordering.asked_records import AskedRecord, Candidate, KnownReply, VerificationCharge, provider_names
from revetl.enrich.ordering.compare import MOST_SHUFFLES, Comparison, Objective, compare
from revetl.enrich.ordering.history import History
from revetl.enrich.ordering.order_cost import PlayedOrders, play, together
from revetl.enrich.ordering.plot import svg
from revetl.enrich.ordering.prices import ObservedPrice
from revetl.enrich.ordering.solve import solve
from revetl.providers.grammar import ProviderSpec, load_providers
from revetl.sandbox.data_vendors.knowledge import Knowledge
from revetl.sandbox.data_vendors.population import Population
from revetl.sandbox.data_vendors.truth import Truth, World, domain_key
from revetl.sandbox.sources import generate
from tests.support.order_instances import every_order, instance
from tests.support.order_instances import play as play_by_hand

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "order.md"
PICTURE = ROOT / "docs" / "order.svg"
SEED = 7
AUDITED = 0.05
INSTANCES = 400
# Who charges for a person whom it knows, whatever it knows of her; the others charge for an address.
BY_MATCH = ("people_data_labs.person", "apollo.person", "prospeo.person")
BY_ADDRESS = ("hunter.email_finder", "leadmagic.email_finder", "dropcontact.contact", "fullenrich.email")
LISTED = ("people_data_labs.person", "apollo.person", "hunter.email_finder", "prospeo.person", "leadmagic.email_finder",
          "dropcontact.contact", "fullenrich.email")  # fmt: skip
# A made-up contract: these are paid for every lookup, at half the price of a hit.
BY_CALL = ("apollo.person", "hunter.email_finder", "leadmagic.email_finder")
# The population's vendors know these better or worse than others.
REGIONS = {"United States": "US and Canada", "Canada": "US and Canada", "France": "France"}
NEARLY = 0.97  # of what all vendors together fill


@dataclass(frozen=True)
class Workload:
    """`by_call` are the vendors that are paid for every lookup."""

    title: str
    fields: tuple[str, ...]
    by_call: tuple[str, ...] = ()


PROFILE = ("email", "job_title", "linkedin_url", "city", "country")
WORKLOADS = (
    Workload("A verified work email", ("email",)),
    Workload("A verified work email, three vendors paid by the call", ("email",), BY_CALL),
    Workload("A profile: email, title, profile address, city, country", PROFILE),
)


@dataclass(frozen=True)
class Market:
    """Vendors with what they would answer of everybody."""

    candidates: tuple[Candidate, ...]
    prices: tuple[ObservedPrice, ...]
    check_usd: float
    asked_records: tuple[AskedRecord, ...]
    segments: tuple[str, ...]  # of each case

    def history(self, workload: Workload, asked_records: Sequence[AskedRecord]) -> History:
        owed = tuple(self.check_usd for _ in self.candidates)
        return History(workload.title, workload.fields, self.candidates, self.prices, owed, {"": tuple(asked_records)})


def measure(records: int = 20_000) -> Section:
    return sections(records)[0][0]


def sections(records: int) -> tuple[list[Section], Comparison]:
    """The table, the oracle, and the comparison that the picture shows."""
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder) / "sources.duckdb", Path(folder), records=records, seed=SEED)
        world = Truth(Path(folder)).world
        table = Section(
            "The order of providers",
            f"{len(world.people):,} made-up people, of whom each lacks all the fields; the sandbox's seven vendors of people "
            f"with its population as it stands, at the prices of `enrichment/providers`. {AUDITED:.0%} of the people are "
            "asked of every vendor; the order is chosen on them and judged on all the others, at full coverage unless it says where it stops.",
            ("waterfall", "order", "cost per value", "blanks filled", "tuned is cheaper by"),
        )
        terms = load_providers(ROOT / "enrichment" / "providers")
        shown = None
        for workload in WORKLOADS:
            told = _measure(workload, market(world, workload, terms), table)
            shown = shown or told
    table.verdict = (
        "`random` is the mean over 120 drawn orders. `best in hindsight` is the exact optimum on the "
        "people judged, which nobody can know before: what the sample misses by. `tuned by region`: an order of its own for each of three regions, chosen on its part of the "
        "sample. Intervals are at 95 %."
    )
    if shown is None:
        raise AssertionError("no workload")
    return [table, oracle()], shown


def _measure(workload: Workload, market_: Market, table: Section) -> Comparison:
    rng = random.Random(SEED)
    drawn = [rng.random() < AUDITED for _ in market_.asked_records]
    sample = pooled([replace(c, audited=True) for c, d in zip(market_.asked_records, drawn, strict=True) if d])
    judged = pooled([c for c, d in zip(market_.asked_records, drawn, strict=True) if not d])
    history = market_.history(workload, sample)
    told = compare(history, sample, Objective())
    places = {candidate.name: i for i, candidate in enumerate(market_.candidates)}
    orders = {line.label: [tuple(places[n] for n in line.order)] for line in told.lines if line.order}
    shuffles = [tuple(rng.sample(range(len(places)), len(places))) for _ in range(MOST_SHUFFLES)]
    stopping = tuple(places[n] for n in compare(history, sample, Objective(at_least=NEARLY)).best)
    tuned = play(market_.candidates, judged, orders["best"])
    rows = {
        "as listed": orders["today"],
        "cheapest first": orders["cheapest first"],
        "price/hit rate": orders["price/hit rate"],
        "random": shuffles,
        "tuned": orders["best"],
        f"tuned, stops at {NEARLY:.0%} of it": [stopping],
        "best in hindsight": [solve(market_.candidates, judged).cheapest().order],
    }
    for label, chosen in rows.items():
        table.rows.append((workload.title, label, *_figures(play(market_.candidates, judged, chosen), tuned, label)))
    table.rows.append((workload.title, "tuned by region", *_by_region(market_, history, drawn, orders["best"][0])))
    print(f"{workload.title}: {' → '.join(provider_names(market_.candidates, orders['best'][0]))}", file=sys.stderr)
    return told


def _by_region(market_: Market, history: History, drawn: Sequence[bool], one: tuple[int, ...]) -> tuple[str, str, str]:
    """An order for each region, chosen on the region's part of the sample."""
    own, same = [], []
    for region in sorted(set(market_.segments)):
        here = [(c, d) for c, d, s in zip(market_.asked_records, drawn, market_.segments, strict=True) if s == region]
        sample = pooled([replace(c, audited=True) for c, d in here if d])
        judged = pooled([c for c, d in here if not d])
        best = compare(history, sample, Objective()).best
        own.append(play(market_.candidates, judged, [tuple(LISTED.index(n) for n in best)]))
        same.append(play(market_.candidates, judged, [one]))
    return _figures(together(own), together(same), "tuned by region")


def _figures(seen: PlayedOrders, tuned: PlayedOrders, label: str) -> tuple[str, str, str]:
    cost, coverage = seen.usd_per_value, seen.coverage
    below = "stops" in label or "region" in label
    saved = seen.saved_against(tuned) if below else tuned.saved_against(seen)
    if cost is None or coverage is None or saved is None:
        raise AssertionError("nothing was filled")
    told = f"{saved.value:.1%} ± {(saved.high - saved.low) / 2:.1%}"
    last = {"tuned": ""}.get(label, f"({told} below it)" if below else told)
    return f"${cost.value:.4f}", f"{coverage.value:.1%}", last


def market(world: World, workload: Workload, terms: Mapping[str, ProviderSpec]) -> Market:
    """What each vendor would answer of each person, and what it would charge."""
    population = Population()
    candidates, prices = [], []
    for name in LISTED:
        given = [k for k, f in enumerate(workload.fields) if name in BY_MATCH or f == "email"]
        candidates.append(Candidate(name, sum(1 << k for k in given)))
        usd = float(terms[name].greatest_usd)
        by_call = name in workload.by_call
        prices.append(ObservedPrice(usd / 2, 0.0, 0.0, 0.0) if by_call else ObservedPrice(0.0, usd, usd, usd))
    minds = {name: Knowledge(population, SEED, name.partition(".")[0]) for name in LISTED}
    check_usd = float(terms["zerobounce.validate"].price_per_hit)
    rng = random.Random(SEED)
    asked_records, segments = [], []
    for person in world.people:
        if not person.email or minds[LISTED[0]].erased(person):
            continue
        shut = minds[LISTED[0]].catch_all(domain_key(person.email.partition("@")[2]))
        told = {name: mind.person(world, person) for name, mind in minds.items()}
        emails = {name: known.record.email for name, known in told.items() if known and known.record.email}
        replies = []
        for candidate, price in zip(candidates, prices, strict=True):
            known = told[candidate.name]
            if known is None or (candidate.name in BY_ADDRESS and candidate.name not in emails):
                replies.append(KnownReply(price.miss))
                continue
            fills = 0
            for k, field in enumerate(workload.fields):
                good = field != "email" or ("email" not in known.wrong and not shut)
                if candidate.fills >> k & 1 and getattr(known.record, field) and good:
                    fills |= 1 << k
            same = sum(1 << i for i, n in enumerate(LISTED) if emails.get(n) == emails.get(candidate.name))
            checks = (VerificationCharge(0, check_usd, same),) if candidate.name in emails else ()
            replies.append(KnownReply(price.hit, fills, True, checks))
        wants = (1 << len(workload.fields)) - 1
        segments.append(REGIONS.get(person.country or "", "elsewhere"))
        asked_records.append(AskedRecord(1.0, wants, tuple(replies), fold=rng.randrange(5)))
    return Market(tuple(candidates), tuple(prices), check_usd, tuple(asked_records), tuple(segments))


def pooled(asked_records: Sequence[AskedRecord]) -> tuple[AskedRecord, ...]:
    """Equal cases as one, as the ledger's counts are."""
    found: dict[AskedRecord, float] = {}
    for case in asked_records:
        plain = replace(case, weight=0.0)
        found[plain] = found.get(plain, 0.0) + case.weight
    return tuple(replace(case, weight=weight) for case, weight in found.items())


def oracle(instances: int = INSTANCES) -> Section:
    """The subset DP against every order with every stopping point."""
    worst, orders, started = 0.0, 0, time.perf_counter()
    for seed in range(instances):
        candidates, asked_records = instance(random.Random(seed), most_arms=6, asked_records=10)
        played = [play_by_hand(candidates, asked_records, order) for order in every_order(len(candidates))]
        orders += len(played)
        most = max(filled for _, filled in played)
        best = solve(candidates, asked_records).cheapest()
        least = min(usd for usd, filled in played if filled > most - 1e-6)
        worst = max(worst, abs(best.usd - least) / max(least, 1e-9), abs(best.filled - most))
    return Section(
        "Exactness",
        "Random instances with 1 to 6 providers and 1 to 3 fields: prices on call and on hit, resold answers, hits that are "
        "charged and then rejected, values to verify. Every order with every stopping point is played record by record.",
        ("instances", "orders played", "largest relative difference of the lowest cost", "took"),
        [(f"{instances}", f"{orders:,}", f"{worst:.0e}" if worst else "0", f"{time.perf_counter() - started:.0f} s")],
    )


def write(records: int = 20_000) -> None:
    found, shown = sections(records)
    head = (
        "# The order of providers\n\nWritten by `python -m benchmarks.order`; not edited by hand. How it works: "
        "[design/order.md](design/order.md). The figures hold for the sandbox's made-up vendors: yours come from your own "
        "ledger, by `revetl tune`.\n\n![Share of blanks filled over cost per record](order.svg)\n\n"
    )
    TARGET.write_text(head + "\n".join(section.markdown() for section in found), encoding="utf-8")
    PICTURE.write_text(svg(shown, "A verified work email: what a filled blank costs"), encoding="utf-8")


if __name__ == "__main__":
    write(*map(int, sys.argv[1:]))
