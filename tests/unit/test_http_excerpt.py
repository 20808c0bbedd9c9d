"""What a message may hold of an answer's body."""

from __future__ import annotations

import httpx
import pytest

from revetl.http import ResponseRules, Session, SessionOptions
from revetl.http.excerpt import excerpt
from revetl.http.redact import Redactor
from tests.support.virtual_time import run_virtual


def said(body: str | bytes, sent: object = None, secrets: tuple[str, ...] = ()) -> str:
    request = httpx.Request("POST", "https://x.example/", json=sent)
    content = body.encode() if isinstance(body, str) else body
    return excerpt(httpx.Response(400, content=content, request=request), Redactor(secrets))


def test_a_body_is_one_bounded_line() -> None:
    assert said("  the field\n\n 'city'\r\n\tis unknown ") == "the field 'city' is unknown"
    assert said("") == said(" \n ") == ""
    long = said("word " * 1_000)
    assert (len(long), long[-1]) == (200, "…")


@pytest.mark.parametrize("mark", ["\x1b", "\x07", "\x00", "\u202e", "\u2066", "\u200b", "\u2028", "\x9b", "\U000e0041"])
def test_what_a_terminal_acts_on_is_spelled_out(mark: str) -> None:
    text = said(f"no{mark}such field")
    assert mark not in text
    assert text.startswith("no")
    assert "such field" in text


def test_secrets_addresses_and_what_was_sent_are_masked() -> None:
    sent = [
        {"key": "gr-1", "op": "create", "fields": {"name": "Ann  Lee", "phone": "+41791234567", "n": 12345, "x": "A"}}
    ]
    body = 'create failed for gr-1: "ann lee" (+41791234567, 12345), ann@acme.example, token=abc, pat-x-12345-y'
    text = said(body, sent, secrets=("s3cret-key",))
    assert text == 'create failed for ***: "***" (***, ***), ***, token=***, ***'
    assert said("the key is s3cret-key", secrets=("s3cret-key",)) == "the key is ***"


@pytest.mark.parametrize("hidden", ["ann\u200b@acme.example", "An\u202en Lee", "s3cret\x00-key"])
def test_a_mark_inside_a_value_does_not_hide_it(hidden: str) -> None:
    sent = [{"key": "1", "fields": {"name": "Ann Lee"}}]
    assert said(f"refused: {hidden}.", sent, secrets=("s3cret-key",)) in ("refused: ***.", "refused: ***")


def test_a_secret_is_masked_before_the_text_is_cut() -> None:
    text = said("x" * 195 + "s3cret-key" + "y" * 50, secrets=("s3cret-key",))
    assert "s3c" not in text


def test_bytes_that_are_no_text_are_no_trouble() -> None:
    assert "\ufffd" in said(b"\xff\xfe broken")


@pytest.mark.parametrize(("status", "shown"), [(403, True), (422, False)])
def test_a_session_says_it_where_its_rules_ask_for_it(status: int, shown: bool) -> None:
    """A refusal of a record is handed to the caller, who decides; what is raised is said here."""

    async def main() -> str:
        wire = httpx.MockTransport(lambda _: httpx.Response(status, text="this hook is switched off"))
        rules = ResponseRules(show_body=True)
        async with Session("hook", "https://x.example", SessionOptions(), rules, transport=wire) as session:
            try:
                return session.excerpt(await session.request("POST", "/push", json=[]))
            except Exception as e:  # noqa: BLE001 - its message is what is looked at
                return str(e)

    text = run_virtual(main())
    assert text.endswith("this hook is switched off")
    assert text.startswith("hook answered 403: POST /push: ") is shown
