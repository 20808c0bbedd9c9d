"""A cell of a list in its one form: what is one question, what is no question at all."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from revetl.enrich.lists.cells import canonical, plain, split_name
from revetl.enrich.lists.columns import choose, match_columns
from revetl.enrich.lists.countries import country_code
from revetl.enrich.lists.entity_table import RowReader, list_key
from revetl.enrich.lists.words import FREE_MAIL_HOSTS, PLACEHOLDERS, of_input, read_placeholders
from revetl.enrich.waterfall import load_waterfalls
from revetl.errors import ConfigError
from revetl.providers.grammar import load_providers
from revetl.usecases.erase import list_keys

ROOT = Path(__file__).resolve().parents[2]
PROVIDERS = load_providers(ROOT / "enrichment/providers")
WATERFALLS = load_waterfalls(ROOT / "enrichment/waterfalls", PROVIDERS)
PROFILE = "https://www.linkedin.com/in/first77"


@pytest.mark.parametrize("blank", ["N/A", "null", "NaN", "-", "#REF!", "n.a.", "TBD", "", " \u00a0\u200b", None])
@pytest.mark.parametrize("name", ["email", "phone", "company_name", "job_title", "company_domain", "linkedin_url"])
def test_a_placeholder_says_nothing(name: str, blank: str | None) -> None:
    assert canonical(name, blank) is None


def test_people_and_countries_that_are_called_like_a_placeholder() -> None:
    assert canonical("last_name", "Null") == "Null"
    assert canonical("first_name", "Na") == "Na"
    assert canonical("country", "NA") == "NA"
    assert canonical("last_name", "N/A") is None


def test_a_salutation_is_no_job() -> None:
    assert canonical("job_title", "Mr.") is None
    assert canonical("job_title", "Head of Sales") == "Head of Sales"


@pytest.mark.parametrize(
    "cell",
    [
        "Jane <jane@acme.example.com>",
        "mailto:jane@acme.example.com",
        "jane@acme.example.com; x@acme.example.com",
        "jane@acme.example.com, x@acme.example.com",
        " JANE@ACME.example.com ",
        "jane@acme.example.com\u200b",
        "jane@acme.example.com\u00a0",
        "jane@acme.example.com.",
    ],
)
def test_an_address_is_found_in_its_cell(cell: str) -> None:
    assert canonical("email", cell) == "jane@acme.example.com"


@pytest.mark.parametrize("cell", ["jane@acme,example.com", "jane[at]acme.example.com", "jane", "test@test.com"])
def test_what_is_no_address_is_not_asked(cell: str) -> None:
    assert canonical("email", cell) is None


@pytest.mark.parametrize(
    "cell",
    [
        "http://linkedin.com/in/first77/",
        "https://uk.linkedin.com/in/first77",
        "https://www.linkedin.com/in/first77/de",
        "https://www.linkedin.com/in/first77?trk=abc&utm_source=x",
        "www.linkedin.com/in/FIRST77",
        "/in/first77",
        "https://www.linkedin.com/in/first77/details/experience/",
        "https://www.linkedin.com/in/fi%72st77",
    ],
)
def test_one_profile_is_one_question(cell: str) -> None:
    assert canonical("linkedin_url", cell, kind="person") == PROFILE


@pytest.mark.parametrize(
    "cell",
    [
        "https://www.linkedin.com/sales/lead/ACwAAB77,NAME_SEARCH,abcd",
        "https://www.linkedin.com/pub/first/1/2/77",
        "https://www.linkedin.com/company/acme-example",
        "https://evillinkedin.com/in/first77",
        "https://evil.example/linkedin.com/in/first77",
    ],
)
def test_what_is_no_profile_of_a_person(cell: str) -> None:
    assert canonical("linkedin_url", cell, kind="person") is None


@pytest.mark.parametrize(
    "cell",
    [
        "+44 20 7946 0100",
        "+44 (0)20 7946 0100",
        "'+442079460100",
        "tel:+442079460100",
        "+44-2079-460100 x12",
        "0044 20 7946 0100",
    ],
)
def test_a_number_with_its_country(cell: str) -> None:
    assert canonical("phone", cell) == "+442079460100"


def test_a_national_number_needs_the_rows_country() -> None:
    assert canonical("phone", "020 7946 0100", country="GB") == "+442079460100"
    assert canonical("phone", "4155550100", country="US") == "+14155550100"
    assert canonical("phone", "4155550100") == "4155550100"
    for country in ("United Kingdom", "uk", "GBR", "Vereinigtes Königreich", "reino unido", "Royaume-Uni", "England"):
        assert canonical("phone", "(020) 7946 0100", country=country) == "+442079460100"
    assert canonical("phone", "030 123456", country="Deutschland") == "+4930123456"
    assert canonical("phone", "030 123456", country="Atlantis") == "030 123456"


@pytest.mark.parametrize(
    ("cell", "country", "number"),
    [
        ("2125550125.0", "US", "+12125550125"),
        ("2125550125.0", None, "2125550125"),
        ("030 12345678 / 0151 23456789", "DE", "+493012345678"),
        ("ext. 12; 030 12345678 oder 0151 23456789", "DE", "+493012345678"),
        ("+49 30 12345678, +49 151 23456789", None, "+493012345678"),
        ("0151/23456789", "DE", "+4915123456789"),
        # What is no number of the row's country is blank: the field is lacking.
        ("12", "US", None),
        ("1234567890123456789", "Germany", None),
    ],
)
def test_one_number_of_a_cell_or_none(cell: str, country: str | None, number: str | None) -> None:
    assert canonical("phone", cell, country=country) == number


@pytest.mark.parametrize("cell", ["0", "0000000000", "4.42079E+11", "4,42E+11", "no phone", "ask"])
def test_what_is_no_number(cell: str) -> None:
    assert canonical("phone", cell) is None


@pytest.mark.parametrize(
    "cell",
    [
        "https://www.acme.example.com/about?x=1",
        "HTTP://ACME.EXAMPLE.COM",
        "acme.example.com.",
        "jane@acme.example.com",
        "https://user:pw@acme.example.com:8080/x",
        "//acme.example.com",
        "www2.acme.example.com",
        "https:acme.example.com",
        "acme.example.com; globex.example.com",
        "ww.acme.example.com",
    ],
)
def test_a_domain_is_found_in_its_cell(cell: str) -> None:
    assert canonical("domain", cell) == "acme.example.com"


@pytest.mark.parametrize(
    "cell", ["https://www.linkedin.com/company/acme", "m.facebook.com/acme", "gmail.com", "http://", "Acme Inc", "N/A"]
)
def test_a_host_that_many_share_is_nobodys_domain(cell: str) -> None:
    assert canonical("company_domain", cell) is None


@pytest.mark.parametrize(
    ("cell", "own"),
    [
        ("https://blog.acme.co.uk/about", "acme.co.uk"),
        ("shop.acme.com.br", "acme.com.br"),
        ("acme.github.io", "acme.github.io"),
        ("acme.myshopify.com", "acme.myshopify.com"),
        ("github.io", None),
        ("co.uk", None),
        ("yahoo.com.ar", None),
        ("a@hotmail.nl", None),
        ("example.org", "example.org"),
        ("Jane Doe <jane@shop.acme.de>", "acme.de"),
    ],
)
def test_a_domain_is_what_somebody_registered(cell: str, own: str | None) -> None:
    assert canonical("company_domain", cell) == own


def test_a_domain_in_letters_of_its_own() -> None:
    assert canonical("domain", "bücher.example.com") == "xn--bcher-kva.example.com"


def test_blanks_and_unicode_are_one_form() -> None:
    assert plain("Acme\u00a0 Inc\u200b") == "Acme Inc"
    assert plain("Jose\u0301") == "José"
    assert (plain(442079460100.0), plain(float("nan")), plain(0.5)) == ("442079460100", None, "0.5")


def test_free_mail_hosts_are_at_least_those_of_the_models() -> None:
    with (ROOT / "dbt_project/seeds/free_email_domains.csv").open(encoding="utf-8") as file:
        assert {row["domain"] for row in csv.DictReader(file)} <= FREE_MAIL_HOSTS


def test_a_full_name_is_two() -> None:
    assert split_name("Dr. Ada Lovelace") == ("Ada", "Lovelace")
    assert split_name("Lovelace, Ada") == ("Ada", "Lovelace")
    assert split_name("Anne van der Berg") == ("Anne", "van der Berg")
    assert split_name("Plato") == (None, "Plato")
    assert split_name("N/A") == (None, None)


@pytest.mark.parametrize(
    ("cell", "first", "last"),
    [
        ("Ada King, PhD", "Ada", "King"),
        ("Ada King Ph.D.", "Ada", "King"),
        ("Martha Jones, MBA, CFA", "Martha", "Jones"),
        ("John Smith, Jr.", "John", "Smith Jr."),
        ("Smith, John, Jr.", "John", "Smith Jr."),
        ("King, Ada, PhD", "Ada", "King"),
        ("Dr. med. Ada King", "Ada", "King"),
        ("Ada King (she/her)", "Ada", "King"),
        ("Jane Doe 🚀", "Jane", "Doe"),
        ("John Smith III", "John", "Smith III"),
        ("PhD", None, None),
    ],
)
def test_what_stands_after_a_name_is_no_name(cell: str, first: str | None, last: str | None) -> None:
    assert split_name(cell) == (first, last)


@pytest.mark.parametrize(
    ("header", "sample"),
    [
        (("Full Name", "Company"), ()),
        (("LinkedIn URL", "Variant"), [(PROFILE, "0")]),
        (("Name", "Website", "LinkedIn", "Country"), [("Jane Doe", "https://acme.example", PROFILE, "GB")]),
        (("Vorname", "Nachname", "Firma"), ()),
        (("Prénom", "Nom", "Société"), ()),
        (("Nombre", "Apellidos", "Empresa"), ()),
        (("fullName", "firstName", "lastName", "companyName", "title", "profileUrl"), ()),
    ],
)
def test_people_are_never_asked_about_as_companies(header: tuple[str, ...], sample: list[tuple[str, ...]]) -> None:
    assert choose(WATERFALLS, PROVIDERS, header, sample=sample).spec.name == "contact_profile"


def test_a_list_of_people_that_only_companies_could_be_asked_with_is_refused() -> None:
    with pytest.raises(ConfigError, match="looks like a list of people"):
        choose(WATERFALLS, PROVIDERS, ("Job Title", "Company"))


def test_a_list_that_could_be_of_either_is_not_guessed() -> None:
    header = ("Company", "Website", "Phone")
    with pytest.raises(ConfigError, match="several waterfalls"):
        choose(WATERFALLS, PROVIDERS, header)
    named = {"company_profile": WATERFALLS["company_profile"]}
    assert choose(named, PROVIDERS, header).spec.name == "company_profile"


def test_the_profile_goes_before_the_sales_lead() -> None:
    header = ("firstName", "profileUrl", "linkedInProfileUrl", "defaultProfileUrl")
    assert match_columns(WATERFALLS["contact_profile"], header).inputs["linkedin_url"] == "linkedInProfileUrl"


def test_a_country_that_the_models_know_is_the_same_to_a_list() -> None:
    with (ROOT / "dbt_project/seeds/country_names.csv").open(encoding="utf-8") as file:
        differing = {
            row["country_name"]: row["country_code"]
            for row in csv.DictReader(file)
            if country_code(row["country_name"]) != row["country_code"]
        }
    assert not differing


def test_the_models_and_the_lists_have_one_seed_of_placeholders(tmp_path: Path) -> None:
    seed = read_placeholders(ROOT / "dbt_project/seeds/placeholders.csv")
    assert seed["any"] == PLACEHOLDERS
    assert canonical("company_name", "My Company") == "My Company"
    assert canonical("company_name", "My Company", placeholders=of_input(seed, "company_name")) is None
    assert canonical("job_title", "Student", placeholders=of_input(seed, "job_title")) == "Student"
    # A project's own word.
    (tmp_path / "placeholders.csv").write_text("kind,value\nany,to be found\n")
    assert (
        canonical(
            "email", "To be found", placeholders=of_input(read_placeholders(tmp_path / "placeholders.csv"), "email")
        )
        is None
    )
    assert read_placeholders(tmp_path / "none.csv") == {}


def test_an_address_says_where_somebody_works() -> None:
    waterfalls = {name: spec for name, spec in WATERFALLS.items() if name == "contact_profile"}
    match = choose(waterfalls, PROVIDERS, ("First name", "Last name", "Email"))
    assert match.inputs["company_domain"] == "Email"
    read = RowReader(match, ("First name", "Last name", "Email"))
    assert read(("Ada", "King", "ada@mail.acme.co.uk"))["company_domain"] == "acme.co.uk"
    assert read(("Ada", "King", "ada@gmail.com"))["company_domain"] is None
    assert not read.unusable
    # A blank cell beside it likewise; one that is filled goes before.
    header = ("Email", "Website")
    read = RowReader(choose(waterfalls, PROVIDERS, header), header)
    assert read(("ada@acme.com", "N/A"))["company_domain"] == "acme.com"
    assert read(("ada@acme.com", "globex.com"))["company_domain"] == "globex.com"
    # So a company is found by the addresses of its people, where somebody says that companies are meant.
    companies = {"company_profile": WATERFALLS["company_profile"]}
    read = RowReader(choose(companies, PROVIDERS, ("Email",)), ("Email",))
    assert read(("ada@acme.com",))["domain"] == "acme.com"


def test_of_columns_that_mean_the_same_the_first_filled_one_counts() -> None:
    header = ("First Name", "Last Name", "Email", "Work Email", "Phone", "Mobile", "Country", "Account Name", "Company")
    match = choose(WATERFALLS, PROVIDERS, header)
    assert match.further == {"Email": ("Work Email",), "Phone": ("Mobile",), "Company": ("Account Name",)}
    read = RowReader(match, header)
    row = read(("Ada", "King", "", "ada@acme.com", "n/a", "020 7946 0100", "UK", "Acme", ""))
    assert [row[name] for name in ("email", "phone", "company_name")] == ["ada@acme.com", "+442079460100", "Acme"]
    assert row["company_domain"] == "acme.com"
    assert read.unusable == {"Phone": 1}
    row = read(("Ada", "King", "", "", "020 7946 0100", "020 7946 0101", "UK", "Acme", "Globex"))
    assert [row[name] for name in ("phone", "company_name")] == ["+442079460100", "Globex"]
    # What somebody says is all that counts.
    assert "Phone" not in choose(WATERFALLS, PROVIDERS, header, {"phone": "Mobile"}).further


def test_who_is_to_be_erased_is_found_under_the_key_that_a_list_has() -> None:
    spec = WATERFALLS["contact_profile"]
    header = ("First name", "Last name", "Email")
    read = RowReader(choose({spec.name: spec}, PROVIDERS, header), header)
    row = read(("Ada", "King", "mailto:ADA@acme.com"))
    key = list_key({name: row.get(column) for name, column in spec.inputs.items()})
    assert key in list_keys([spec])({"email": "Ada@Acme.com", "first_name": "ada", "last_name": "King"})


def test_a_name_beside_a_company_is_a_persons() -> None:
    match = choose(WATERFALLS, PROVIDERS, ("Name", "Company", "Country"))
    assert match.spec.name == "contact_profile"
    assert (match.inputs["first_name"], match.inputs["company_name"]) == ("Name", "Company")
    companies = {"company_profile": WATERFALLS["company_profile"]}
    assert choose(companies, PROVIDERS, ("Name", "Company")).inputs["name"] == "Company"
    assert choose(companies, PROVIDERS, ("Name", "Website")).inputs["name"] == "Name"
    # Profiles of people are seen in the rows.
    profiles = [("Jane Doe", "https://www.linkedin.com/in/jane")]
    match = choose(WATERFALLS, PROVIDERS, ("Name", "LinkedIn"), sample=profiles)
    assert match.inputs["last_name"] == "Name"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        # HubSpot, Salesforce, Apollo, LinkedIn's own list of connections, and by hand.
        (
            "Record ID|First Name|Last Name|Email|Phone Number|Associated Company|Job Title|Website URL|Country/Region",
            6,
        ),
        ("Contact ID|First Name|Last Name|Title|Account Name|Email|Phone|Mailing Country", 5),
        (
            "First Name|Last Name|Title|Company|Company Name for Emails|Email|Person Linkedin Url|Website|Mobile Phone",
            7,
        ),
        ("First Name|Last Name|URL|Email Address|Company|Position|Connected On", 6),
        ("Prénom|Nom|Société|Adresse e-mail|Téléphone|Site web|Fonction|Pays", 6),
        ("Vorname|Nachname|Firma|E-Mail-Adresse|Telefon|Webseite|Position|Land", 6),
        ("Nombre|Apellidos|Empresa|Correo electrónico|Teléfono|Sitio web|Cargo|País", 6),
        ("Primeiro nome|Sobrenome|Empresa|E-mail|Telefone|Site|Cargo|País", 6),
    ],
)
def test_headers_as_people_and_exports_write_them(header: str, expected: int) -> None:
    names = header.split("|")
    row = ["https://www.linkedin.com/in/ada" if name == "URL" else "" for name in names]
    match = choose(WATERFALLS, PROVIDERS, names, sample=[row])
    assert match.spec.name == "contact_profile"
    assert len(match.inputs) >= expected, match.inputs
    assert "job_title" in match.fields
    if "URL" in names:
        assert match.inputs["linkedin_url"] == "URL"
        assert match.inputs["company_domain"] == "Email Address"


@pytest.mark.parametrize("text", ["a." * 100_000, "a" * 200_000 + "@", "x@" + "a." * 100_000])
def test_the_search_for_an_address_ends_in_a_cell_without_end(text: str) -> None:
    """In time that is squared in its length this takes minutes."""
    assert canonical("email", text) is None
