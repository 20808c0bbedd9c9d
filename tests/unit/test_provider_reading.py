"""What a response means: status rows, pointers, values, confidence, verification, charge."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from revetl.providers.base import ProvidedValue
from revetl.providers.engine.json_data import value_at
from revetl.providers.engine.reading import read
from revetl.providers.engine.rendering import render
from revetl.providers.grammar import ProviderSpec

BASE: dict[str, Any] = {
    "name": "acme.person",
    "vendor": "acme",
    "base_url": "https://api.acme.example",
    "auth": {"type": "bearer"},
    "entity": "person",
    "inputs": ["email", "first_name", "last_name"],
    "sufficient": [["email"]],
    "request": {"path": "/v1", "query": {"email": "{email}", "name": "{first_name} {last_name}"}},
    "status": [{"http": 200, "verdict": "hit"}, {"http": 404, "verdict": "miss"}],
    "outputs": {"email": {"at": "/email"}},
    "price": {"per_call_usd": "0.01", "per_hit_usd": "0.10"},
}


def spec(**changes: Any) -> ProviderSpec:
    return ProviderSpec.model_validate(BASE | changes)


def value_of(body: Any, **output: Any) -> str | None:
    values = read(spec(outputs={"email": output}), 200, {}, body).values
    return values[0].value if values else None


@pytest.mark.parametrize(
    ("pointer", "found"),
    [
        ("/a/b", 1),
        ("/l/1", "y"),
        ("/l/2", None),
        ("/l/x", None),
        ("/s~1t", 2),
        ("/m~0n", 3),
        ("/a/b/c", None),
        ("/", 4),
    ],
)
def test_pointers_follow_rfc_6901(pointer: str, found: Any) -> None:
    assert value_at({"a": {"b": 1}, "l": ["x", "y"], "s/t": 2, "m~n": 3, "": 4}, pointer) == found


def test_a_parameter_without_its_inputs_is_left_out() -> None:
    assert render(spec(), {"email": "a@b.example", "first_name": "Ada"}).query == {"email": "a@b.example"}
    full = render(spec(), {"email": "a@b.example", "first_name": "Ada", "last_name": "Lovelace"})
    assert full.query == {"email": "a@b.example", "name": "Ada Lovelace"}


def test_a_value_that_looks_like_a_template_is_only_text() -> None:
    assert render(spec(), {"email": "{first_name}", "first_name": "Ada"}).query["email"] == "{first_name}"


def test_a_json_body_leaves_out_what_is_empty() -> None:
    request = {
        "method": "POST",
        "path": "/v1",
        "json": {"people": [{"email": "{email}", "first": "{first_name}"}], "name": {"last": "{last_name}"}, "n": 1},
    }
    assert render(spec(request=request), {"email": "a@b.example"}).json == {
        "people": [{"email": "a@b.example"}],
        "n": 1,
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (" a@b.example ", "a@b.example"),
        (240, "240"),
        (240.0, "240"),
        (0, "0"),
        ("", None),
        ("  ", None),
        (True, None),
        (False, None),
        (None, None),
        ([], None),
        ({"a": 1}, None),
        (["x"], None),
        ("x" * 5000, None),
    ],
)
def test_only_a_scalar_is_a_value(value: Any, text: str | None) -> None:
    assert value_of({"email": value}, at="/email") == text


@pytest.mark.parametrize(
    ("transform", "value", "text"),
    [
        ("first", ["a", "b"], "a"),
        ("last", ["a", "b"], "b"),
        ("first", [], None),
        (["first", "upper"], ["a"], "A"),
        ("https", "http://linkedin.com/in/x", "https://linkedin.com/in/x"),
        ("https", "linkedin.com/in/x", "https://linkedin.com/in/x"),
        ("https", "", None),
        ("digits", "+44 (0)20", "44020"),
        ("digits", "٤٤ ２０ m²", None),  # no phone is dialled so
        ("year", "１９９９-01-01", None),
        ("title", "new york", "New York"),
        ("lower", 7, "7"),
    ],
)
def test_transforms(transform: Any, value: Any, text: str | None) -> None:
    assert value_of({"email": value}, at="/email", transform=transform) == text


def test_the_first_pointer_with_a_usable_value_wins() -> None:
    assert value_of({"a": True, "b": "", "c": "x"}, at=["/a", "/b", "/c"]) == "x"


def test_a_word_that_the_map_does_not_know_gives_no_value() -> None:
    assert value_of({"email": "vp"}, at="/email", map={"vp": "VP"}) == "VP"
    assert value_of({"email": "czar"}, at="/email", map={"vp": "VP"}) is None


@pytest.mark.parametrize(("given", "scaled"), [(5, 0.5), (0, 0.0), (99, 1.0), (-1, 0.0), ("5", None), (True, None)])
def test_confidence_is_between_0_and_1(given: Any, scaled: float | None) -> None:
    meaning = read(spec(confidence={"at": "/score", "scale": 10}), 200, {}, {"email": "x", "score": given})
    assert meaning.values == (ProvidedValue("email", "x", scaled),)


@pytest.mark.parametrize(
    ("status", "body", "verdict"),
    [
        (200, {"state": "busy"}, "slow_down"),
        (200, {"state": None}, "miss"),
        (200, {}, "miss"),
        (200, {"state": 1}, "bad_input"),
        (200, {"state": True}, "hit"),
        (200, {"state": "done"}, "hit"),
        (200, None, "ambiguous"),  # not JSON
        (201, {"state": "done"}, "ambiguous"),
        (503, None, "unavailable"),
        (500, None, "denied"),
    ],
)
def test_the_first_row_that_matches_decides(status: int, body: Any, verdict: str) -> None:
    rows = [
        {"http": 200, "at": "/state", "equals": ["busy", "throttled"], "verdict": "slow_down"},
        {"http": 200, "at": "/state", "equals": None, "verdict": "miss"},
        {"http": 200, "at": "/state", "equals": 1, "verdict": "bad_input"},
        {"http": 200, "verdict": "hit"},
        {"http": 500, "verdict": "denied"},
        {"http": "5xx", "verdict": "unavailable"},
    ]
    assert read(spec(status=rows), status, {}, body).verdict == verdict


@pytest.mark.parametrize(
    ("status", "headers", "usd"),
    [
        (200, {}, "0.61"),  # the call, the hit and the phone
        (404, {}, "0.01"),
        (500, {}, "0"),
        (200, {"x-spent": "3"}, "0.6"),
        (404, {"x-spent": "0"}, "0"),
        (200, {"x-spent": "-1"}, "0.61"),
        (200, {"x-spent": "nan"}, "0.61"),
        (200, {"x-spent": "many"}, "0.61"),
    ],
)
def test_the_charge_is_the_vendors_count_or_the_declared_price(status: int, headers: dict[str, str], usd: str) -> None:
    priced = spec(
        outputs={"email": {"at": "/email"}, "phone": {"at": "/phone"}},
        price=BASE["price"]
        | {"groups": [{"fields": ["phone"], "usd": "0.5"}], "credits": {"header": "X-Spent", "usd": "0.2"}},
    )
    meaning = read(priced, status, headers, {"email": "a@b.example", "phone": "1"})
    assert meaning.charged_usd == Decimal(usd)


def test_a_verifier_that_says_nothing_has_not_verified() -> None:
    rule = {"at": "/v", "map": {"ok": "valid"}}
    said = {
        word: read(spec(verification=rule), 200, {}, {"email": "x", "v": word}).values[0].verification
        for word in ("ok", "hm", "", None)
    }
    assert said == {"ok": "valid", "hm": "unknown", "": None, None: None}
