"""Whom a question means. Every vendor matches on the same handles; how sure each is, is the vendor's own affair."""

from __future__ import annotations

from collections.abc import Mapping

from revetl.sandbox.data_vendors.truth import (
    TrueCompany,
    TruePerson,
    World,
    email_key,
    phone_key,
    profile_key,
)


def find_person(
    world: World,
    *,
    profile: str = "",
    email: str = "",
    phone: str = "",
    first: str = "",
    last: str = "",
    companies: tuple[str, ...] = (),
) -> tuple[TruePerson | None, str]:
    """Who is meant and by which handle: profile, email, phone or company (a name at the first company that is known).

    None with `company` where nobody, or more than one, of that name works there; None with "" where nothing fits.
    """
    for by, index, key, text in (
        ("profile", world.by_profile, profile_key, profile),
        ("email", world.by_email, email_key, email),
        ("phone", world.by_phone, phone_key, phone),
    ):
        person = index.get(key(text)) if text else None
        if person is not None:
            return person, by
    employer = find_company(world, *companies)
    if first and last and employer is not None:
        return world.person_at(first, last, employer), "company"
    return None, ""


def find_company(world: World, *handles: str) -> TrueCompany | None:
    """By the first handle that is somebody's: a domain, a web address, a profile or a name."""
    return next((found for text in handles if text and (found := world.company(text)) is not None), None)


def names(
    params: Mapping[str, str], first: str = "first_name", last: str = "last_name", full: str = "name"
) -> tuple[str, str]:
    """First and last name, from their own places or from the full name."""
    if params.get(first) and params.get(last):
        return params[first], params[last]
    given, _, family = params.get(full, "").strip().partition(" ")
    return given, family
