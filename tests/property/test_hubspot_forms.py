"""Equal spellings and different values, at random: what is one and the same to HubSpot has one form, what is not has
two. So the first never makes a write and the second always does."""

from __future__ import annotations

import os
import string
import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from revetl.destinations.base import FieldType
from revetl.destinations.hubspot.domains import bare, host, spellings
from revetl.destinations.hubspot.values import canonical
from revetl.model import Scalar

EXAMPLES = int(os.environ.get("REVETL_EXAMPLES", "200"))
many = settings(max_examples=EXAMPLES, derandomize=EXAMPLES < 1000, deadline=None)

words = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=8)
scripts = st.sampled_from(["bücher", "ångström", "пример", "例え", "straße", "acme", "x1"])
hosts = st.builds(
    lambda *parts: ".".join(parts), st.one_of(words, scripts), words, st.sampled_from(["example", "co.uk"])
)


@st.composite
def addresses(draw: st.DrawFn, name: str) -> str:
    """One of the ways to write a host."""
    if draw(st.booleans()):
        name = "".join(draw(st.sampled_from([c, c.upper()])) if c.isascii() else c for c in name)
    if draw(st.booleans()):
        name = unicodedata.normalize(draw(st.sampled_from(["NFC", "NFD"])), name)
    text = draw(st.sampled_from(["", "www.", "WWW."])) + name + draw(st.sampled_from(["", "."]))
    scheme = draw(st.sampled_from(["", "http://", "https://", "HTTPS://", "//"]))
    user = draw(st.sampled_from(["", "me:secret@"])) if scheme else ""
    rest = draw(st.sampled_from(["", "/", ":443", ":8080/a?b=c#d", "/path/www.other.example", "?q=1", "#top"]))
    blank = draw(st.sampled_from(["", " ", "\t"]))
    return f"{blank}{scheme}{user}{text}{rest}{blank}"


@many
@given(data=st.data(), name=hosts)
def test_all_ways_to_write_a_domain_are_one(data: st.DataObject, name: str) -> None:
    one, other = (data.draw(addresses(name)) for _ in range(2))
    assert canonical("domain", one, "string") == canonical("domain", other, "string"), (one, other)


@many
@given(one=hosts, other=hosts)
def test_different_domains_are_two(one: str, other: str) -> None:
    # To the DNS ß and ss are one name only in the older of its two rules.
    same = one.replace("ß", "ss") == other.replace("ß", "ss")
    assert same or canonical("domain", one, "string") != canonical("domain", other, "string")


def test_what_names_no_host_equals_only_itself() -> None:
    texts = ["n/a", "unknown", "acme", "info@acme.example", "two words.example", "www.com", "com", "", "acme.example"]
    assert len({host(text) for text in texts}) == len(texts)
    assert host("WWW.com") == "www.com"
    assert bare("https://www.Acme.example/de?x#y") == "Acme.example"
    assert bare("n/a") == "n/a"


def test_a_search_asks_for_every_spelling_that_may_stand_there() -> None:
    assert spellings(host("https://Bücher.example/")) == [
        "xn--bcher-kva.example",
        "www.xn--bcher-kva.example",
        "bücher.example",
    ]
    assert spellings("acme") == ["acme"]


options = st.lists(st.sampled_from(["red", "blue", "green", "a b"]), max_size=6)
moments = st.datetimes(datetime.fromisoformat("1970-01-02"), datetime.fromisoformat("2100-01-01"))
numbers = st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**9), max_value=10**9)


@many
@given(data=st.data(), chosen=options)
def test_the_order_and_repeats_of_a_multi_select_say_nothing(data: st.DataObject, chosen: list[str]) -> None:
    other = data.draw(st.permutations([*chosen, *chosen[: data.draw(st.integers(0, len(chosen)))]]))
    assert canonical("x", ";".join(chosen), "multi_enum") == canonical("x", ";".join(other), "multi_enum")


@many
@given(one=options, other=options)
def test_another_choice_is_another(one: list[str], other: list[str]) -> None:
    equal = canonical("x", ";".join(one), "multi_enum") == canonical("x", ";".join(other), "multi_enum")
    assert equal == (set(one) == set(other))


@many
@given(moment=moments, below=st.integers(0, 999), hours=st.integers(-12, 12), extra=st.integers(1, 10**7))
def test_times_are_compared_by_the_millisecond_whatever_their_zone(
    moment: datetime, below: int, hours: int, extra: int
) -> None:
    whole = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    elsewhere = whole.replace(tzinfo=UTC).astimezone(timezone(timedelta(hours=hours)))
    spelt: list[Scalar] = [whole + timedelta(microseconds=below), elsewhere, elsewhere.isoformat(), whole.isoformat()]
    spelt.append(str(int(whole.replace(tzinfo=UTC).timestamp() * 1000 + 0.5)))
    assert len({canonical("x", value, "datetime") for value in spelt}) == 1
    assert canonical("x", whole, "datetime") != canonical("x", whole + timedelta(milliseconds=extra), "datetime")


@many
@given(one=numbers, other=numbers, zeros=st.integers(0, 5))
def test_numbers_are_compared_by_their_value(one: Decimal, other: Decimal, zeros: int) -> None:
    text = format(one, "f") + "0" * zeros
    spelt: list[Scalar] = [one, text, f" {text} ", f"{one:E}", one.normalize()]
    assert len({canonical("x", value, "number") for value in spelt}) == 1
    assert (canonical("x", one, "number") == canonical("x", other, "number")) == (one == other)


def test_nothing_is_nothing() -> None:
    kinds: list[FieldType] = ["string", "number", "bool", "date", "datetime", "enum", "multi_enum"]
    for kind in kinds:
        assert canonical("x", None, kind) == canonical("x", "", kind) == ""
    assert canonical("x", Decimal("-0.00"), "number") == canonical("x", 0, "number") == "0"
    assert canonical("x", True, "bool") == canonical("x", "TRUE", "bool") == "true"


@many
@given(text=st.text(max_size=20))
def test_text_is_compared_as_it_looks_and_not_otherwise(text: str) -> None:
    nfc, nfd = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    assert canonical("firstname", nfc, "string") == canonical("firstname", nfd, "string")
    assert canonical("firstname", f"{text}x", "string") != canonical("firstname", text, "string")
    assert canonical("email", f" {nfd.upper()}@X.example ", "string") == canonical(
        "email", f"{nfc.upper()}@x.EXAMPLE", "string"
    )
