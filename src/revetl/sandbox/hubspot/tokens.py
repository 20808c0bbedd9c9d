"""What there is to ask about a token and about the account that it belongs to."""

from __future__ import annotations

from typing import Any

from revetl.sandbox.hubspot import errors
from revetl.sandbox.hubspot.portal import ALL_SCOPES, PortalCall, Reply

APP_ID = 1
USER_ID = 910001


def account(call: PortalCall) -> Reply:
    """`GET /account-info/v3/details` (spec)."""
    return 200, {
        "portalId": call.portal.portal_id,
        "accountType": "DEVELOPER_TEST",
        "timeZone": "UTC",
        "companyCurrency": "USD",
        "additionalCurrencies": [],
        "utcOffset": "+00:00",
        "utcOffsetMilliseconds": 0,
        "uiDomain": "app.hubspot.com",
        "dataHostingLocation": "na1",
    }


def access_token(call: PortalCall) -> Reply:
    """`GET /oauth/v1/access-tokens/{token}`: asked without credentials, since the token is in the address (docs). 404
    for one that has ended or never was (unconfirmed)."""
    portal, token = call.portal, call.match["token"]
    left = portal.token_ends_in_s(token)
    if left is None or left <= 0:
        raise errors.not_found("token not found")
    more = {"app_id": APP_ID, "scopes": portal.scopes_of(token), "expires_in": int(left)}
    return 200, {**_user(call), "token": token, "token_type": "access", **more}


def refresh_token(call: PortalCall) -> Reply:
    """`GET /oauth/v1/refresh-tokens/{token}`. Any serves that `POST /oauth/v1/token` would take."""
    token = call.match["token"]
    if "bad" in token:
        raise errors.not_found("token not found")
    return 200, {**_user(call), "token": token, "token_type": "refresh", "client_id": "revetl", "scopes": [*ALL_SCOPES]}


def private_app(call: PortalCall) -> Reply:
    """`POST /oauth/v2/private-apps/get/access-token-info`, the token in the body as `tokenKey` (docs)."""
    key: Any = call.fields.get("tokenKey")
    if not isinstance(key, str) or not key:
        raise errors.invalid_json("some required fields were not set: [tokenKey]")
    call.portal.authenticate(f"Bearer {key}")
    scopes = call.portal.scopes_of(key)
    return 200, {"userId": USER_ID, "hubId": call.portal.portal_id, "appId": APP_ID, "scopes": scopes}


def _user(call: PortalCall) -> dict[str, Any]:
    """Whose token it is."""
    domain = "revetl.example"
    return {"user": f"olive@{domain}", "user_id": USER_ID, "hub_domain": domain, "hub_id": call.portal.portal_id}
