"""The vendor's other standard objects (spec: the object types of its API descriptions). Every account has them; the
sandbox holds no records of them, and no token of its has their scopes.

So a request for one is refused as forbidden, with the scope that is missing, and not as one for an object that there
is not. Readers that ask an account for all that it has expect that (captured in their sources).
"""

from __future__ import annotations

_NAMES = (
    "appointments calls carts communications courses discounts emails feedback_submissions fees goal_targets invoices "
    "leads line_items listings meetings notes orders partner_clients payments postal_mail products quotes services "
    "subscriptions tasks taxes users"
)
OTHER_STANDARD_OBJECTS = frozenset(_NAMES.split())
