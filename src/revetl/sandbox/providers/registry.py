"""The vendors that the sandbox serves."""

from __future__ import annotations

from revetl.sandbox.providers.apollo import Apollo
from revetl.sandbox.providers.companies_house import CompaniesHouse
from revetl.sandbox.providers.dropcontact import Dropcontact
from revetl.sandbox.providers.fullenrich import FullEnrich
from revetl.sandbox.providers.hunter import Hunter
from revetl.sandbox.providers.leadmagic import LeadMagic
from revetl.sandbox.providers.people_data_labs import PeopleDataLabs
from revetl.sandbox.providers.prospeo import Prospeo
from revetl.sandbox.providers.vendor import Vendor
from revetl.sandbox.providers.zerobounce import ZeroBounce

VENDORS: tuple[type[Vendor], ...] = (
    Apollo,
    CompaniesHouse,
    Dropcontact,
    FullEnrich,
    Hunter,
    LeadMagic,
    PeopleDataLabs,
    Prospeo,
    ZeroBounce,
)
