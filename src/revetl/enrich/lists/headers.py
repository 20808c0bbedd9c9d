"""What people and programs call the columns of a list: without case, blanks and punctuation.

In English, Spanish, French, German and Portuguese, and in the exports of HubSpot, Salesforce, Apollo and LinkedIn Sales
Navigator. An earlier word goes before a later one: an export with the address of a profile and that of a sales lead
has its profile in the first.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

_BY_INPUT = {
    "first_name": """
        firstname first givenname forename fname nombre prénom prenom vorname primeironome nome
    """,
    "last_name": """
        lastname last surname familyname lname apellido apellidos nomdefamille nachname familienname sobrenome
        apelido nom
    """,
    "email": """
        email emailaddress mail workemail businessemail contactemail primaryemail correo correoelectrónico
        correoelectronico adressemail adresseemail courriel emailadresse enderecodeemail endereçodeemail
    """,
    "phone": """
        phone phonenumber telephone tel mobile mobilephone cell directphone workdirectphone teléfono telefono móvil
        movil téléphone portable telefon telefonnummer handy telefone celular
    """,
    "linkedin_url": """
        linkedin linkedinurl linkedinprofile linkedinprofileurl personlinkedinurl hslinkedinurl linkedinbio
        defaultprofileurl profileurl
    """,
    "company_domain": """
        companydomain domain website companywebsite companyurl url emaildomain companydomainname websiteurl sitioweb
        siteweb webseite webadresse site
    """,
    "company_name": """
        companyname company organization organisation employer account accountname companynameforemails
        associatedcompany empresa entreprise société societe firma unternehmen
    """,
    "domain": """
        domain companydomain website companywebsite url homepage companydomainname websiteurl sitioweb siteweb
        webseite webadresse site
    """,
    "name": """
        name companyname company organization organisation account accountname empresa entreprise société societe
        firma unternehmen
    """,
    "job_title": """
        jobtitle title position role cargo puesto poste fonction titreduposte berufsbezeichnung jobtitel
    """,
    "country": """
        country countrycode countryname mailingcountry billingcountry countryregion país pais pays land
    """,
    "city": """
        city town locality ciudad ville stadt ort cidade
    """,
    "industry": """
        industry sector
    """,
    "employee_count": """
        employeecount employees headcount companysize numberofemployees
    """,
    "founded_year": """
        foundedyear founded yearfounded
    """,
}
SYNONYMS: Mapping[str, tuple[str, ...]] = {name: tuple(words.split()) for name, words in _BY_INPUT.items()}

# First and last name in one column.
FULL_NAMES = (
    "fullname",
    "contactname",
    "personname",
    "nombrecompleto",
    "nomcomplet",
    "vollständigername",
    "nomecompleto",
)


def plain_name(name: str) -> str:
    """Without case, blanks and punctuation."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFC", name)).casefold()


_HEADERS = {plain_name(name) for name in SYNONYMS} | {w for words in SYNONYMS.values() for w in words} | {*FULL_NAMES}


def is_header(text: str) -> bool:
    """Whether columns are called so."""
    return plain_name(text) in _HEADERS
