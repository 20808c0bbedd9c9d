"""Whatever a row holds, its request goes to the record that it means, and its body says what the row says."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from revetl.destinations.http.grammar import ApiObject
from revetl.destinations.http.requests import RequestBuilder
from revetl.destinations.http.values import as_json, at, form, from_json, nested, placed
from revetl.model import Change, JsonText, Operation

# Without half a surrogate, which no database holds and no UTF-8 either.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
OBJECT = ApiObject.model_validate(
    {
        "create": {"method": "POST", "path": "/users"},
        "update": {"method": "PUT", "path": "/orgs/{org}/users/{id}/x"},
    }
)


def builder(*headers: str) -> RequestBuilder:
    assert OBJECT.update is not None
    return RequestBuilder(OBJECT, OBJECT.update, None, "", headers)


def change(fields: dict[str, Any], id_: str = "7", after: str = "") -> Change:
    return Change(0, "k", Operation.UPDATE, id_, fields, after=after)


@given(TEXT, TEXT)
def test_a_value_in_the_path_never_leaves_its_segment(org: str, id_: str) -> None:
    try:
        outgoing = builder().outgoing([change({"org": org}, id_)], [{}])
    except ValueError:
        assert org in ("", ".", "..") or id_ in ("", ".", "..")
        return
    assert org not in ("", ".", "..")
    url = httpx.URL("https://api.example" + outgoing.path)
    raw = url.raw_path.decode()
    assert raw == outgoing.path, "what is sent is what was written"
    # As a server takes it apart: by the slashes that stand there, and then each segment by itself.
    for path in (raw, URL(raw, encoded=True).raw_path):
        segments = path.split("/")
        assert (segments[1], segments[3], segments[5]) == ("orgs", "users", "x")
        assert len(segments) == 6
        assert (httpx.URL(f"/{segments[2]}").path[1:], httpx.URL(f"/{segments[4]}").path[1:]) == (org, id_)
    assert outgoing.target == "/orgs/{org}/users/{id}/x", "no message holds a customer's value"


@given(JSON)
def test_a_nested_value_goes_there_and_comes_back_as_it_is(data: Any) -> None:
    sent = as_json(JsonText(json.dumps(data)), "any")
    assert sent == data
    body = json.loads(builder().outgoing([change({"org": "o", "v": None})], [{"v": sent}]).content or b"")
    assert body == {"v": data}
    assert form(from_json(data), "any") == form(JsonText(json.dumps(data)), "any")


@given(st.dictionaries(TEXT, JSON, min_size=1, max_size=5))
def test_order_of_keys_and_spacing_make_no_difference_and_values_do(data: dict[str, Any]) -> None:
    one = JsonText(json.dumps(data))
    other = JsonText(json.dumps(dict(reversed(data.items())), indent=3, ensure_ascii=False))
    assert form(one, "any") == form(other, "any")
    assert form(JsonText(form(one, "any")), "any") == form(one, "any")
    name = next(iter(data))
    assert form(JsonText(json.dumps({**data, name: [data[name], 1]})), "any") != form(one, "any")


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(0, 9), max_size=4), TEXT, TEXT)
def test_another_content_has_another_token_and_the_same_has_the_same(
    fields: dict[str, int], key: str, after: str
) -> None:
    def token(change: Change, fields: dict[str, int]) -> str:
        return builder("Idempotency-Key").outgoing([change], [fields]).headers["idempotency-key"]

    row: dict[str, Any] = {**fields, "org": "o"}
    assert token(change(row, after=after), fields) == token(change(row, after=after), fields)
    others = [
        token(change(row, after=after + "1"), fields),
        token(change(row, id_="8", after=after), fields),
        token(change(row, after=after), {**fields, "zzz": 1}),
        token(change(row, after=after)._replace(key="another"), fields),
    ]
    assert token(change(row, after=after), fields) not in others


def test_dotted_names_nest_and_may_not_meet() -> None:
    assert nested({"address.city": "Riga", "address.zip": 1, "name": "A"}) == {
        "address": {"city": "Riga", "zip": 1},
        "name": "A",
    }
    for clash in ({"a": 1, "a.b": 2}, {"a.b": 2, "a": 1}, {"a.b": 1, "a.b.c": 2}):
        with pytest.raises(ValueError, match=r"^a"):
            nested(clash)


@given(st.lists(TEXT, min_size=1, max_size=4), JSON)
def test_what_is_placed_at_a_pointer_is_found_there(steps: list[str], content: Any) -> None:
    pointer = "".join("/" + s.replace("~", "~0").replace("/", "~1") for s in steps)
    assert at(placed(pointer, content, {}), pointer) == content


@pytest.mark.parametrize(
    ("value", "type_"), [("{", "json"), (JsonText("{"), "any"), (b"x", "any"), (JsonText("[" * 99), "any")]
)
def test_what_has_no_json_is_refused_without_its_value(value: Any, type_: Any) -> None:
    with pytest.raises(ValueError, match=r"JSON"):
        as_json(value, type_)


def test_text_is_read_as_json_only_where_the_field_says_so() -> None:
    assert as_json('{"a": 1}', "any") == '{"a": 1}'
    assert as_json('{"a": 1}', "json") == {"a": 1}
    assert form('{"a": 1}', "any") != form('{"a":1}', "any")
    assert form('{"a": 1}', "json") == form('{"a":1}', "json")
    assert as_json(Decimal("1.50"), "any") == "1.50"
