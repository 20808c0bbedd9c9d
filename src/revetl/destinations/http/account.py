"""The session of an account: whose it is, how fast it may be asked, how its answers are read."""

from __future__ import annotations

from collections.abc import Sequence

from revetl.destinations.http.options import Options
from revetl.destinations.http.results import session_verdict
from revetl.http import Rate, RequestAuth, Response, ResponseRules, ResponseVerdict, SessionOptions, WebhookSignature
from revetl.http.auth_options import AccountAuth
from revetl.http.options import MOST_BYTES

_SHOWN_BYTES = 1024 * 1024  # of an answer of which only the beginning is ever shown


def session_options(options: Options, account: AccountAuth, secrets: Sequence[str]) -> SessionOptions:
    headers = {name: value.get_secret_value() for name, value in options.headers.items()}
    signing = options.signing_secret.get_secret_value() if options.signing_secret else None
    auth: list[RequestAuth] = [one for one in (account.token, account.signature) if one is not None]
    auth += [WebhookSignature(signing)] if signing else []
    return SessionOptions(
        headers={**headers, **account.headers},
        secrets=[*secrets, *headers.values(), *account.secrets, *([signing] if signing else [])],
        rates={"default": Rate(options.rate.requests, options.rate.per_s)} if options.rate else {},
        allow_insecure=options.allow_insecure,
        params=account.params,
        auth=auth,
        client_certificate=options.client_certificate.shown() if options.client_certificate else None,
    )


def response_rules(options: Options) -> ResponseRules:
    # Of these every record would be refused: the address or the method is wrong, not a record.
    wrong = dict.fromkeys((405, 415), ResponseVerdict.DENIED)
    suffices = not any(o.uses_id or r.results or r.job for o in options.objects.values() for r in o.requests)
    return ResponseRules(
        verdicts=wrong,
        verdict=session_verdict(options.status),
        show_body=True,
        most_bytes=_SHOWN_BYTES if suffices else MOST_BYTES,
        status_suffices=suffices,
        readable=(lambda _: True) if suffices else _is_no_page,
    )


def _is_no_page(response: Response) -> bool:
    """A page is what a proxy answers, or a login."""
    return not response.headers.get("content-type", "").lower().startswith("text/html")
