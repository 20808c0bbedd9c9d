"""Who is named in a text, in any spelling that means the same, and nobody else."""

from __future__ import annotations

import html
import json
import string
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from revetl.privacy.mentions import MARKS, UNSEEN, emails_in, profiles_in, same_address
from revetl.privacy.suppressions import plain

LOCAL = st.from_regex(r"[a-z][a-z0-9]{0,6}(?:[._-][a-z0-9]{1,5})?", fullmatch=True)
DOMAIN = st.from_regex(r"[a-z][a-z0-9]{0,6}(?:-[a-z0-9]{1,4})?\.(?:test|example|co\.test)", fullmatch=True)
ADDRESS = st.builds("{}@{}".format, LOCAL, DOMAIN)


def _escaped(text: str) -> str:
    return "".join(c if c in string.ascii_letters + string.digits else f"\\u{ord(c):04x}" for c in text)


def _entities(text: str) -> str:
    return "".join(c if c.isalnum() else f"&#x{ord(c):x};" for c in text)


def _wide(text: str) -> str:
    return text.replace("@", "＠").replace(".", "．")


SPELLINGS = st.sampled_from(
    [
        *(str.upper, str.title, str, quote, _escaped, _entities, _wide),
        *(lambda t: quote(quote(t)), lambda t: quote(_entities(t))),
    ]
)
AROUND = st.sampled_from(
    [
        *("{}", " {} ", "call {}", "mail:{};x", "<{}>", '"A B" <{}>', "({})", "[{}]", "'{}'", "{}, b@c.test"),
        *("mailto:{}?subject=x", "x={}&y=1", "[a](mailto:{})", "`{}`", "*{}*", "邮箱{}，", "a/{}", "{}.", "{}!"),
        *('{{"email": "{}"}}', "line\n{}\nline", "\\n{}"),
    ]
)


@given(ADDRESS, SPELLINGS, AROUND, st.sampled_from(["", *UNSEEN]), st.integers(0, 40))
def test_an_address_is_found_in_any_spelling_and_place(
    address: str, spell: object, around: str, unseen: str, at: int
) -> None:
    spelled = spell(address)  # type: ignore[operator]
    at %= len(address) + 1
    if spelled == address:  # inside an escape it would be another one
        spelled = address[:at] + unseen + address[at:]
    assert address in emails_in(around.format(spelled))


@pytest.mark.parametrize(
    "text",
    [
        *(
            "ada @acme.test",
            "ada@ acme.test",
            "ada\u00a0@acme.test",
            "a d a @ acme . test",
            "write to ada @acme.test now",
        ),
        *("ada\ufe01@acme.test", "ada\U000e0061@acme.test", "ada@acme.test\u200bx", "x\u200bada@acme.test"),
        *("ada&amp;#64;acme.test", "ada&amp;commat;acme.test", "ada&percnt;40acme.test", "ada\uff06#64;acme.test"),
        *("ada\uff0540acme.test", "q=hi+ada%40acme.test", "q=+ada%40acme.test", "ada@acme\u3002test"),
        *(
            "ada@acme.test-Sales",
            "ada@acme.testTHEN",
            "ada@acme.testThen",
            '"ada"@acme.test',
            "ada(a comment)@acme.test",
        ),
    ],
)
def test_rare_spellings(text: str) -> None:
    assert "ada@acme.test" in emails_in(text)
    assert any(mark in text.lower() for mark in MARKS)


def test_sharp_s_is_a_letter_of_its_own_in_a_domain() -> None:
    erased = {plain("email", "ada@Stra\u00dfe.test")} | same_address("ada@stra\u00dfe.test")
    assert not erased.isdisjoint(emails_in("ada@xn--strae-oqa.test"))
    assert erased.isdisjoint(emails_in("ada@strasse.test"))


@given(ADDRESS, ADDRESS, AROUND)
def test_another_address_is_not_taken_for_it(one: str, other: str, around: str) -> None:
    found = emails_in(around.format(other))
    assert (one in found) == (one == other)


@given(ADDRESS)
def test_what_is_longer_is_somebody_else(address: str) -> None:
    local, _, domain = address.partition("@")
    for other in (f"x{address}", f"x.{address}", f"x-{address}", f"{address}x", f"{address}.uk", f"{local}@a.{domain}"):
        assert address not in emails_in(other)


@given(ADDRESS, st.from_regex(r"[a-z0-9]{1,5}", fullmatch=True))
def test_a_tag_means_its_owner_and_not_the_other_way_round(address: str, tag: str) -> None:
    tagged = address.replace("@", f"+{tag}@")
    assert {address, tagged} <= emails_in(tagged)
    assert address not in same_address(tagged)


def test_a_domain_is_one_in_unicode_and_in_ascii() -> None:
    assert "ada@xn--bcher-kva.test" in emails_in("ada@bücher.test")
    assert "ada@bücher.test" in emails_in("ADA@XN--BCHER-KVA.test")
    assert "ada@xn--bcher-kva.test" in same_address("ada@bücher.test")


@pytest.mark.parametrize(
    "text",
    [
        "linkedin.com/in/ada",
        "https://www.linkedin.com/in/Ada/",
        "see http://de.linkedin.com/in/ada/en?trk=x.",
        "(linkedin.com/in/ada)",
        "https%3A%2F%2Flinkedin.com%2Fin%2Fada",
        json.dumps({"url": "https://linkedin.com/in/ada"}).replace("/", "\\/"),
        html.escape('<a href="https://linkedin.com/in/ada">'),
        "linked\u200bin.com/in/ada",
        "linkedin.com/in/ada#x,",
    ],
)
def test_a_profile_is_found_in_any_spelling(text: str) -> None:
    assert "linkedin.com/in/ada" in profiles_in(text)
    assert "linkedin.com/in/ad" not in profiles_in(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("%25" * 5_000 + "@" * 5_000, id="percent-signs"),
        pytest.param("a" * 80_000 + " @b.test", id="a-word-without-end"),
        pytest.param("(c)" * 40_000 + "@ b.test", id="comments"),
        pytest.param("aA" * 40_000 + "@" + "aA" * 40_000, id="sentences"),
        pytest.param(" " * 80_000 + "(", id="blanks"),
        pytest.param("!a" * 40_000 + "@b.test", id="signs"),
    ],
)
def test_a_text_without_end_is_read_in_bounded_time(text: str) -> None:
    """Where the work grew with the square of the text, one of these would take minutes."""
    found = emails_in(text + " ada@acme.test")
    assert len(found) < 1_000
    assert "ada@acme.test" in found


@pytest.mark.parametrize("around", ["x@y.test!{}", "'{}'", "a@b@{}"])
def test_an_address_right_behind_another_is_found(around: str) -> None:
    assert "bob@acme.test" in emails_in(around.format("bob@acme.test"))
