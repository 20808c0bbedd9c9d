"""The connector's errors as ours, without values or secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from snowflake.connector.errors import DatabaseError, Error, ForbiddenError, ProgrammingError

from revetl.errors import WarehouseConflict, WarehouseDenied, WarehouseError

# No session of this name any more, or its token has run out; 290401 is the answer 401 without a code of Snowflake's.
# Whoever gets one of these was not let in, so nothing was done. The connector renews a token that it can renew itself.
SESSION_GONE = frozenset({290401, 390104, 390111, 390112, 390113, 390114, 390115})
# More than twenty statements wait for one table's lock, and this one was sent away.
_TOO_MANY_WAITERS = 625
_SECRETS = ("password", "token", "private_key_file_pwd", "passcode")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
# Of a login: 390100 wrong user or password, 390102 locked, 390144 key refused, 390186 no such role, 390189 role not
# granted, 390190 single sign-on, 390201 no such object for this user, 390422 address not allowed (as commonly
# reported; unconfirmed, not met live).
_DENIED = frozenset({390100, 390102, 390111, 390114, 390144, 390186, 390189, 390190, 390191, 390201, 390422})


def translated(e: Error) -> WarehouseError:
    """The first two lines, the first of which is often only "SQL compilation error:". What a data exception (class 22)
    quotes may be a customer's value, so it goes."""
    lines = [line.strip() for line in str(getattr(e, "raw_msg", None) or e.msg or "").splitlines() if line.strip()]
    text = " ".join(lines[:2]) or type(e).__name__
    if str(e.sqlstate or "").startswith("22") or not isinstance(e, ProgrammingError):
        text = _QUOTED.sub("…", text)
    if e.errno == _TOO_MANY_WAITERS:
        return WarehouseConflict(f"Snowflake: {text}")
    return WarehouseError(f"Snowflake: {text}")


def not_connected(e: Error, options: Mapping[str, Any]) -> WarehouseError:
    """With the connector's own reason where nobody was reached; a secret that it might repeat is taken out."""
    text = str(e.msg or "")
    code = re.search(r"\b(39\d{4})\b", f"{e.errno} {text}")
    denied = (code and int(code[1]) in _DENIED) or "Incorrect username or password" in text
    if denied or isinstance(e, ForbiddenError):
        return WarehouseDenied(f"Snowflake account {options.get('account')!r} refuses the user {options.get('user')!r}")
    if isinstance(e, DatabaseError) and e.errno in (251001, 251005, 251006):  # an option is missing or empty
        return WarehouseDenied(f"Snowflake: {text.splitlines()[0] if text else 'user or password is empty'}")
    reason = (text.splitlines() or [""])[0]
    for secret in _SECRETS:
        if options.get(secret):
            reason = reason.replace(str(options[secret]), "…")
    return WarehouseError(
        f"Snowflake account {options.get('account')!r} can't be reached (error {e.errno}): {reason[:300]}"
    )
