"""Phones against libphonenumber: its own example numbers of every country, typed in five ways.

What is understood is right; nothing that a person types at home, with a + or with a 00 is missed, four digits apart.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import phonenumbers
import pytest
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from tests.dbt.conftest import dbt, prepare

pytestmark = pytest.mark.xdist_group("starter")

# Argentina writes a 15 into its mobiles at home, which no rule of ours takes out.
NO_NUMBER = {"011 15-2345-6789"}


def examples() -> list[tuple[str, str, str, bool]]:
    """(country, typed, E.164, whether it must be understood: else it may be NULL, but nothing else)."""
    rows = []
    for country in sorted(phonenumbers.SUPPORTED_REGIONS):
        for kind in (PhoneNumberType.FIXED_LINE, PhoneNumberType.MOBILE):
            number = phonenumbers.example_number_for_type(country, kind)
            if number is None:
                continue
            e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
            national = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
            rows += [
                (country, national, e164, len(national) > 4 and national not in NO_NUMBER),
                (country, phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL), e164, True),
                (country, "00" + e164[1:], e164, True),
                (country, e164[1:], e164, False),
                (country, phonenumbers.national_significant_number(number), e164, False),
            ]
    return rows


def test_each_country_writes_its_numbers_as_libphonenumber_says(tmp_path: Path) -> None:
    rows = examples()
    assert len(rows) > 2_000
    prepare(tmp_path, day=1)
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as db:
        db.execute("DELETE FROM raw_crm.contacts")
        db.execute(
            "INSERT INTO raw_crm.contacts (contact_id, country, phone) SELECT unnest(?), unnest(?), unnest(?)",
            [[f"n{n}" for n in range(len(rows))], [row[0] for row in rows], [row[1] for row in rows]],
        )
    kinds = ["--resource-type", "seed", "--resource-type", "model"]
    done = dbt(tmp_path, "build", *kinds, "--select", "+int_contact_phones")
    assert done.returncode == 0, done.stdout[-4000:]
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as db:
        found = dict(
            db.execute(
                "SELECT record_key, phone FROM analytics.int_contact_phones WHERE record_key LIKE 'crm:contacts:n%'"
            ).fetchall()
        )
    wrong, missed = [], []
    for n, (country, typed, e164, must) in enumerate(rows):
        phone = found.get(f"crm:contacts:n{n}")
        if phone is None and must:
            missed.append((country, typed, e164))
        elif phone not in (None, e164):
            wrong.append((country, typed, e164, phone))
    assert wrong == []
    assert missed == []
