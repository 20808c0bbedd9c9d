"""Which column of a list is which input of a waterfall, and which waterfall can be run over the list at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from revetl.enrich.lists.cells import holds_profile_of_person
from revetl.enrich.lists.headers import FULL_NAMES, SYNONYMS, plain_name
from revetl.enrich.waterfall import WaterfallSpec
from revetl.errors import ConfigError, did_you_mean
from revetl.providers.grammar import ProviderSpec

# What people call these columns, without case, blanks and punctuation.
# A list with one of these columns is of people.
_OF_PEOPLE = ("first_name", "last_name", "email", "job_title")
# Of these a blank cell may be filled by another column. Not of names: half of one and half of another is nobody's.
_OF_SEVERAL_COLUMNS = ("email", "phone", "company_domain", "domain", "company_name", "job_title")
SAMPLE_ROWS = 200  # enough to see whether profiles are of people
DOMAINS = ("company_domain", "domain")
IN_FILES = ("", "_source", "_confidence", "_verification", "_cost_usd")


@dataclass(frozen=True, slots=True)
class ColumnMatch:
    """`inputs`: provider input → the list's column; `fields`: wanted field → the list's column that may hold it;
    `country`: the column that says where a row's phone is. First and last name from one column are a full name; a
    company's domain from the column of addresses is what stands behind the @.
    `placeholders`: by kind, what the project says that only fills a place.
    `further`: column → those that mean the same. Of a row the first counts that holds something which can be used."""

    spec: WaterfallSpec
    inputs: Mapping[str, str]
    fields: Mapping[str, str]
    country: str | None = None
    placeholders: Mapping[str, frozenset[str]] = field(default_factory=dict)
    further: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def columns(self) -> set[str]:
        """All columns of the list that are read."""
        further = {column for columns in self.further.values() for column in columns}
        return {*self.inputs.values(), *self.fields.values(), *filter(None, [self.country]), *further}


def match_columns(
    spec: WaterfallSpec,
    header: Sequence[str],
    given: Mapping[str, str | None] | None = None,
    *,
    of_people: bool = False,
) -> ColumnMatch:
    """By name or synonym, each column of the list for at most one input. The first that fits is taken; where its cell
    is blank, the others that fit count.

    `given` says of an input which column it is, or None for one that is not to be used; those are not guessed.
    `of_people`: its rows say that it is a list of people; else its columns may.
    """
    given = given or {}
    plain = {plain_name(name): name for name in reversed(header)}
    of_people = of_people or _is_of_people(plain)
    inputs = {name: column for name, column in given.items() if column is not None}
    taken = set(inputs.values())
    for name, column in spec.inputs.items():
        if name in given:
            continue
        # Beside people, a plain Name is not the company's.
        found = _find(["company_name"] if name == "name" and of_people else [name, column], plain, taken)
        if found is not None:
            inputs[name] = found
            taken.add(found)
    halves = {"first_name", "last_name"} & spec.inputs.keys() - given.keys()
    if len(halves) == 2 and not halves & inputs.keys():
        words = (*FULL_NAMES, "name") if of_people else FULL_NAMES
        whole = next((plain[word] for word in words if word in plain and plain[word] not in taken), None)
        inputs |= dict.fromkeys(halves, whole) if whole is not None else {}
    for name in DOMAINS:
        # An address says where somebody works, unless its host is one of free mail.
        if name in spec.inputs and name not in given and name not in inputs:
            address = inputs.get("email") or _find(["email"], plain, set())
            inputs |= {name: address} if address is not None else {}
    by_column = {spec.inputs[name]: found for name, found in inputs.items()}
    fields = {}
    for wanted in spec.fields:
        found = by_column.get(spec.column(wanted)) or _find([wanted, spec.column(wanted)], plain, set())
        if found is not None:
            fields[wanted] = found
    ordered = {name: inputs[name] for name in spec.inputs if name in inputs}
    country = _find(["country"], plain, set())
    match = ColumnMatch(spec, ordered, fields, country)
    # What the caller says of an input is all that counts for it.
    guessed = [name for name in _OF_SEVERAL_COLUMNS if name not in given]
    return replace(match, further=_further(match, guessed, plain))


def _further(match: ColumnMatch, names: Sequence[str], plain: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    taken = match.columns
    found = {}
    for name in names:
        first = match.inputs.get(name) or match.fields.get(name)
        words = _words_of([name])
        # A domain may be that of the address: then no column is called by it.
        if first is None or plain_name(first) not in words:
            continue
        others = tuple(dict.fromkeys(plain[w] for w in words if w in plain and plain[w] not in taken))
        if others:
            found[first] = others
            taken.update(others)
    return found


def choose(
    waterfalls: Mapping[str, WaterfallSpec],
    providers: Mapping[str, ProviderSpec],
    header: Sequence[str],
    given: Mapping[str, str | None] | None = None,
    sample: Sequence[Sequence[object]] = (),
    *,
    verify_only: bool = False,
) -> ColumnMatch:
    """The waterfall that can use the most of the list's columns. ConfigError where none has enough to ask with, where
    `given` (see `match_columns`) names a column or an input that is not there, and where a list might be of people or
    of companies: then the person says it. `sample`: some rows, in which profiles of people are looked for.
    `verify_only`: the one that verifies the most of what the list holds, and asks nobody else."""
    given = given or {}
    if missing := [column for column in given.values() if column is not None and column not in header]:
        raise ConfigError(f"the list has no column {missing[0]!r}", hint=did_you_mean(missing[0], list(header)))
    known = sorted({name for spec in waterfalls.values() for name in spec.inputs})
    if strange := [name for name in given if name not in known]:
        raise ConfigError(f"no waterfall has an input {strange[0]!r}", hint=did_you_mean(strange[0], known))
    takes_all = [spec for spec in waterfalls.values() if all(name in spec.inputs for name in given)]
    profiles = any(holds_profile_of_person(cell) for row in sample for cell in row)
    column = _column_of_profiles(header, sample)  # whatever it is called: LinkedIn itself calls it URL
    matches = []
    for spec in takes_all:
        said = given
        if column is not None and "linkedin_url" in spec.inputs and _is_of_person(spec, providers):
            said = {"linkedin_url": column, **given}
        matches.append(match_columns(spec, header, said, of_people=profiles))
    if verify_only:
        return _verifying(matches, header)
    able = [m for m in matches if askable(m, providers)]
    if len(waterfalls) > 1:
        able = _of_one_kind(able, providers, header, of_people=profiles)
    if able:
        return max(able, key=lambda m: len(m.inputs))
    needs = sorted({" + ".join(g) for m in matches for s in m.spec.stages for g in providers[s.provider].sufficient})
    raise ConfigError(
        "no waterfall can be run over the columns " + ", ".join(map(repr, header)),
        hint="Enough would be: " + ("; ".join(needs) or "a waterfall in enrichment/waterfalls/"),
    )


def _verifying(matches: Sequence[ColumnMatch], header: Sequence[str]) -> ColumnMatch:
    able = [m for m in matches if m.inputs and m.spec.verified_fields().keys() & m.fields.keys()]
    if not able:
        wanted = sorted({field for m in matches for field in m.spec.verified_fields()})
        raise ConfigError(
            "no waterfall verifies anything of the columns " + ", ".join(map(repr, header)),
            hint="What is verified: " + (", ".join(wanted) or "a field with accept: {verified: true}, and a verifier"),
        )
    best = max(able, key=lambda m: (len(m.spec.verified_fields().keys() & m.fields.keys()), len(m.inputs)))
    return replace(best, spec=best.spec.only_verifying())


def _of_one_kind(
    able: Sequence[ColumnMatch],
    providers: Mapping[str, ProviderSpec],
    header: Sequence[str],
    *,
    of_people: bool,
) -> list[ColumnMatch]:
    """People are never asked about as companies: a wrong answer is paid for like a right one."""
    kinds = {m.spec.name: "person" if _is_of_person(m.spec, providers) else "company" for m in able}
    plain = {plain_name(name): name for name in header}
    has_names = _is_of_people(plain) or any(word in plain for word in FULL_NAMES)
    if has_names or of_people:
        people = [match for match in able if kinds[match.spec.name] == "person"]
        if able and not people:
            raise ConfigError(
                "this looks like a list of people, and only a waterfall of companies can use its columns",
                hint=f"If it is right: -w {able[0].spec.name}. --column INPUT=COLUMN names what was not understood.",
            )
        return people
    if len(set(kinds.values())) > 1:
        named = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
        raise ConfigError(
            f"several waterfalls can be run over this list: {named}",
            hint="Choose one: -w NAME, or waterfall=… in Python.",
        )
    return list(able)


def _is_of_people(plain: Mapping[str, str]) -> bool:
    """By its columns; then a plain `Name` is a person's. So it is where the company has a column beside it."""
    company = _find(["company_name"], plain, set())
    return any(_find([name], plain, set()) for name in _OF_PEOPLE) or ("name" in plain and company is not None)


def _is_of_person(spec: WaterfallSpec, providers: Mapping[str, ProviderSpec]) -> bool:
    return providers[spec.stages[0].provider].entity == "person"


def _column_of_profiles(header: Sequence[str], sample: Sequence[Sequence[object]]) -> str | None:
    """The column whose cells are profiles of people, the most of them."""
    held = [sum(holds_profile_of_person(row[i]) for row in sample) for i in range(len(header))]
    most = max(held, default=0)
    return header[held.index(most)] if most else None


def askable(match: ColumnMatch, providers: Mapping[str, ProviderSpec]) -> bool:
    present = dict.fromkeys(match.inputs, "x")
    return any(providers[stage.provider].can_ask(present) for stage in match.spec.stages)


def added_columns(
    match: ColumnMatch, header: Sequence[str], suffixes: Sequence[str] = IN_FILES
) -> dict[str, tuple[str, ...]]:
    """field → names of the columns that tell of it, one per suffix. None of them hides a column of the list."""
    taken = set(header)
    added = {}
    for wanted in match.spec.fields:
        base = wanted
        while any(base + suffix in taken for suffix in suffixes):
            base += "_enriched"
        added[wanted] = tuple(base + suffix for suffix in suffixes)
        taken.update(added[wanted])
    return added


def column_of(name: str, header: Sequence[str]) -> str | None:
    """Which column of a list holds what we call `name`, by that name or a synonym."""
    return _find([name], {plain_name(column): column for column in reversed(header)}, set())


def _find(names: Sequence[str], plain: Mapping[str, str], taken: set[str]) -> str | None:
    return next((plain[word] for word in _words_of(names) if word in plain and plain[word] not in taken), None)


def _words_of(names: Sequence[str]) -> list[str]:
    return [plain_name(name) for name in names] + [word for name in names for word in SYNONYMS.get(name, ())]
