"""Syncs from dbt's manifest: what is declared, in which order, with every mistake at its line; what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from revetl.errors import ConfigError, GuardrailError
from revetl.model import Association, FieldRule, Reference, Relation
from revetl.project import Project, load
from tests.support.project_files import (
    SYNC,
    check_on,
    make_project,
    model,
    write,
    write_manifest,
    write_parsed,
    write_results,
)

CONTACTS_YML = """\
models:
  - name: other
  - name: contacts
    config:
      contract: {enforced: true}
      meta:
        revetl:
          destination: hubspot
          object: contacts
          key: golden_id
          match_on: email
          fields:
            jobtitle: {policy: fill_blank}
          associate: [{to: companies, by: company_golden_id, type: 1}]
"""
ASSOCIATE = {"associate": [{"to": "companies", "by": "company_golden_id", "type": 1}]}
PASSED = {"model.tiny.contacts": "success", "model.tiny.companies": "success", "test.tiny.t": "pass"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = make_project(tmp_path)
    write(root / "dbt_project/models/activation/contacts.yml", CONTACTS_YML)
    return root


def project(root: Path, meta: dict[str, Any] | None = None, statuses: dict[str, str] | None = None) -> Project:
    """Two syncs, contacts and companies, and one test on contacts."""
    write_manifest(
        root,
        model(
            "contacts", {**SYNC, **ASSOCIATE} if meta is None else meta, tags=("crm",), parents=("model.tiny.golden",)
        ),
        model("companies", {**SYNC, "object": "companies", "match_on": None}, parents=("model.tiny.golden",)),
        model("golden"),
        check_on("t", "contacts", attached="model.tiny.contacts"),
    )
    write_results(root, PASSED if statuses is None else statuses)
    return load(root)


def mistakes(root: Path, meta: dict[str, Any]) -> list[tuple[int | None, str, str | None]]:
    with pytest.raises(ConfigError) as e:
        project(root, meta).syncs()
    assert {p.path for p in e.value.problems} == {root / "dbt_project/models/activation/contacts.yml"}
    return [(p.line, p.message, p.hint) for p in e.value.problems]


def names(found: list[Any]) -> list[str]:
    return [s.name for s in found]


def test_a_sync_as_declared(root: Path) -> None:
    meta = {**SYNC, **ASSOCIATE, "fields": {"jobtitle": {"policy": "fill_blank"}}, "guardrails": {"min_rows": 5}}
    contacts = project(root, meta).syncs()[1]
    assert contacts.relation == Relation("main", "contacts", "tiny")
    assert contacts.columns == ("golden_id", "email", "jobtitle", "company_golden_id")
    assert contacts.sent_columns == ("email", "jobtitle")
    assert contacts.rule("jobtitle") == FieldRule("fill_blank", "clear")
    assert contacts.guardrails.min_rows == 5
    assert contacts.where.endswith("contacts.yml:7")


def test_a_mirror_names_the_model_of_its_redirects(root: Path) -> None:
    meta = {**SYNC, "mode": "mirror", "on_leave": "archive", "redirects": "companies"}
    assert project(root, meta).syncs()[1].redirects == Relation("main", "companies", "tiny")


def test_what_is_associated_to_comes_first(root: Path) -> None:
    assert names(project(root).syncs()) == ["companies", "contacts"]
    write_manifest(
        root,
        model("a", {**SYNC, "associate": [{"to": "z", "by": "company_golden_id", "type": 1}]}),
        model("z", dict(SYNC)),
    )
    assert names(load(root).syncs(verified=False)) == ["z", "a"]


def test_a_circle_of_associations(root: Path) -> None:
    def to(other: str) -> dict[str, Any]:
        return {**SYNC, "associate": [{"to": other, "by": "company_golden_id", "type": 1}]}

    write_manifest(root, model("a", to("b")), model("b", to("a")))
    with pytest.raises(ConfigError, match=r"circle: .*a \(.*a\.\w+.*b \("):
        load(root).syncs(verified=False)


def named_by(column: str, **references: str) -> dict[str, Any]:
    return {**SYNC, "fields": {column: {"references": references}}}


def test_what_is_named_comes_first_at_another_destination_too(root: Path) -> None:
    connections = root / "profiles/connections.yml"
    assert "other" not in connections.read_text()
    write_manifest(
        root,
        model("a", named_by("jobtitle", to="z")),
        model("b", named_by("jobtitle", object="deals", match_on="code")),
        model("y", {**SYNC, "object": "deals"}),
        model("z", {**SYNC, "object": "companies"}),
    )
    specs = load(root).syncs(verified=False)
    assert names(specs).index("z") < names(specs).index("a")
    assert names(specs).index("y") < names(specs).index("b"), "who makes the records that are looked up"
    rules = {s.name: s.rule("jobtitle").references for s in specs}
    assert (rules["a"], rules["b"]) == (Reference("z"), Reference(object="deals", match_on="code"))


def test_two_objects_that_look_each_other_up_are_no_circle(root: Path) -> None:
    write_manifest(
        root,
        model("a", named_by("jobtitle", object="deals", match_on="code")),
        model("b", {**named_by("jobtitle", object="contacts", match_on="email"), "object": "deals"}),
        model("c", named_by("jobtitle", to="c")),
    )
    assert sorted(names(load(root).syncs(verified=False))) == ["a", "b", "c"]


def test_two_syncs_that_name_each_others_keys_are_a_circle(root: Path) -> None:
    write_manifest(root, model("a", named_by("jobtitle", to="b")), model("b", named_by("jobtitle", to="a")))
    with pytest.raises(ConfigError, match=r"name records of each other in a circle: "):
        load(root).syncs(verified=False)


def test_a_link_to_a_record_of_no_sync(root: Path) -> None:
    link = {"object": "companies", "match_on": "domain", "by": "company_golden_id", "type": 1}
    contacts = project(root, {**SYNC, "associate": [link]}).syncs()[-1]
    assert contacts.associate == (Association("companies.domain", "company_golden_id", 1, "companies", "domain"),)


NAMED_BY = "another record is named by `to`, a sync, or by `object` and `match_on`, where it is looked up"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"to": "companys"}, [(13, "no sync 'companys'", "Did you mean 'companies'?")]),
        ({"to": "companies", "object": "companies"}, [(13, NAMED_BY, "Write one of the two.")]),
        ({"object": "companies"}, [(13, NAMED_BY, "Write one of the two.")]),
        ({}, [(13, NAMED_BY, "Write one of the two.")]),
        ({"too": "companies"}, [(13, "'too' is not known here", "Did you mean 'to'?")]),
    ],
)
def test_each_mistake_of_a_reference_at_its_line(
    root: Path, change: dict[str, str], expected: list[tuple[int, str, str | None]]
) -> None:
    assert mistakes(root, named_by("jobtitle", **change)) == expected


def test_what_a_record_is_found_by_names_no_other(root: Path) -> None:
    [(line, message, _)] = mistakes(root, named_by("email", to="companies"))
    assert (line, message) == (12, "'email' is what a record of this sync is found by, so it can't name another one")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"destinaton": "x"}, (7, "'destinaton' is not known here", "Did you mean 'destination'?")),
        ({"destination": "hubspt"}, (8, "no destination 'hubspt'", "Did you mean 'hubspot'?")),
        ({"key": "goldenid"}, (10, "contacts has no column 'goldenid'", "Did you mean 'golden_id'?")),
        ({"match_on": "emial"}, (11, "contacts has no column 'emial'", "Did you mean 'email'?")),
        ({"fields": {"jobtitel": {}}}, (12, "contacts has no column 'jobtitel'", "Did you mean 'jobtitle'?")),
        (
            {"fields": {"jobtitle": {"polcy": "always"}}},
            (13, "'polcy' is not known here", "Did you mean 'policy'?"),
        ),
        (
            {"associate": [{"to": "companys", "by": "company_golden_id", "type": 1}]},
            (14, "no sync 'companys'", "Did you mean 'companies'?"),
        ),
        (
            {"associate": [{"to": "contacts", "by": "email", "type": 1}]},
            (
                14,
                "'email' names the linked record, so it is not a field that is sent",
                "Select the column twice, under two names.",
            ),
        ),
        ({"on_leave": "archive"}, (7, "on_leave: archive needs mode: mirror", None)),
        (
            {"redirects": "companies"},
            (7, "redirects say what becomes of records that left: they need mode: mirror that removes or clears", None),
        ),
        (
            {"mode": "mirror", "on_leave": "archive", "redirects": "companys"},
            (7, "no model 'companys' in the dbt project", "Did you mean 'companies'?"),
        ),
    ],
)
def test_each_mistake_at_its_line(root: Path, change: dict[str, Any], expected: tuple[int, str, str | None]) -> None:
    assert mistakes(root, {**SYNC, **change}) == [expected]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"key_property": "jobtitle"}, "'jobtitle' is a column of contacts too"),
        ({"key_property": "our_id", "key": "email"}, "found by their key already, in 'email'"),
        ({"key_property": "our_id", "metadata": {"our_id": "run_id"}}, "stands under metadata too"),
    ],
)
def test_a_field_that_can_not_be_given_the_key(root: Path, change: dict[str, Any], said: str) -> None:
    assert [said in message for _, message, _ in mistakes(root, {**SYNC, **change})] == [True]


def test_a_field_for_the_key_needs_no_match_on(root: Path) -> None:
    """Deals have nothing else to be found by."""
    (spec,) = project(root, {**SYNC, "key_property": "our_id", "match_on": None}).syncs(["contacts"])
    assert (spec.key_property, spec.match_on) == ("our_id", None)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("emial", "create_properties: there is no column 'emial'"),
        ("email", "create_properties: records are found by 'email', so it has to be there"),
        ("golden_id", "create_properties: 'golden_id' is not sent as a field"),
    ],
)
def test_a_column_that_no_property_is_made_for(root: Path, name: str, said: str) -> None:
    assert [message for _, message, _ in mistakes(root, {**SYNC, "create_properties": ["jobtitle", name]})] == [said]


def test_two_syncs_of_one_object_do_not_give_one_field_their_keys(root: Path) -> None:
    """Key 1 of the one would find the record of key 1 of the other."""
    keyed = {**SYNC, "key_property": "our_id"}
    write_manifest(root, model("a", keyed), model("b", keyed), model("c", {**keyed, "object": "companies"}))
    with pytest.raises(ConfigError) as e:
        load(root).syncs(verified=False)
    assert [p.message for p in e.value.problems] == [
        "key_property: b gives 'our_id' of contacts its keys too",
        "key_property: a gives 'our_id' of contacts its keys too",
    ]
    write_manifest(root, model("a", keyed), model("b", {**keyed, "key_property": "other_id"}))
    assert [s.key_property for s in load(root).syncs(verified=False)] == ["our_id", "other_id"]


def test_a_sync_knows_who_else_creates_records_of_its_object(root: Path) -> None:
    write_manifest(
        root,
        model("a", SYNC),
        model("b", {**SYNC, "match_on": None}),
        model("c", {**SYNC, "mode": "update"}),
        model("d", {**SYNC, "key_property": "our_id"}),
        model("e", {**SYNC, "object": "companies"}),
    )
    beside = {s.name: s.beside for s in load(root).syncs(verified=False)}
    assert beside["a"] == (("b", None),)
    assert beside["d"] == (("a", "email"), ("b", None))
    assert beside["e"] == ()


def test_missing_and_wrong_values(root: Path) -> None:
    found = mistakes(root, {"destination": "hubspot", "object": "contacts", "mode": "upsrt"})
    assert [m for _, m, _ in found] == [
        "'key' is missing",
        "mode: Input should be 'upsert', 'update', 'insert' or 'mirror'",
    ]


def test_a_number_that_yaml_takes_for_another_is_named_in_what_is_ours_and_nowhere_else(root: Path) -> None:
    yml = root / "dbt_project/models/activation/contacts.yml"
    others = "models:\n  - name: other\n    config: {meta: {of_somebody: 1_000}}\n"
    yml.write_text(CONTACTS_YML.replace("models:\n  - name: other\n", others))
    assert len(project(root).syncs()) == 2
    yml.write_text(CONTACTS_YML + "          guardrails: {min_rows: 1_000}\n")
    found = mistakes(root, {**SYNC, **ASSOCIATE, "guardrails": {"min_rows": 1000}})
    assert [(line, message) for line, message, _ in found] == [(15, "guardrails.min_rows: a number with underscores")]


@pytest.mark.parametrize("meta", [None, "hubspot", [1], {}])
def test_a_meta_that_is_no_sync(root: Path, meta: Any) -> None:
    write_manifest(root, {**model("contacts"), "config": {"contract": {"enforced": True}, "meta": {"revetl": meta}}})
    with pytest.raises(ConfigError):
        load(root).syncs(verified=False)


def test_a_contract_is_needed(root: Path) -> None:
    write_manifest(root, model("contacts", dict(SYNC), contract=False))
    with pytest.raises(ConfigError, match="contract"):
        load(root).syncs()


def test_not_built_yet(root: Path) -> None:
    write(root / "revetl.yml", "name: tiny\ndbt: elsewhere\n")
    with pytest.raises(ConfigError, match=r"no manifest\.json in"):
        load(root).syncs()


def test_half_written_artifacts(root: Path) -> None:
    write_parsed(root, '{"metadata": {')
    with pytest.raises(ConfigError, match="not a manifest"):
        load(root).syncs()
    write_manifest(root, model("contacts", dict(SYNC)))
    write(root / "dbt_project/target/run_results.json", "{")
    with pytest.raises(GuardrailError, match=r"run_results\.json is broken"):  # it says nothing of any model
        load(root).syncs()


def test_built_for_another_warehouse(root: Path) -> None:
    write_manifest(root, model("contacts", dict(SYNC)), adapter="snowflake")
    with pytest.raises(ConfigError, match="revetl build --target dev"):
        load(root).syncs()


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({"model.tiny.contacts": "error"}, "contacts: failed to build"),
        ({"model.tiny.contacts": "skipped"}, "contacts: was skipped"),
        ({"test.tiny.t": "fail"}, "contacts: its test t failed"),
        ({"test.tiny.t": "error"}, "contacts: its test t failed"),
        ({"test.tiny.t": "skipped"}, "contacts: its test t was skipped"),
    ],
)
def test_a_failed_model_is_refused_and_the_others_are_not(root: Path, status: dict[str, str], said: str) -> None:
    p = project(root, statuses={**PASSED, **status})
    with pytest.raises(GuardrailError, match=said) as e:
        p.syncs()
    assert e.value.exit_code == 3
    assert "companies" not in str(e.value)
    assert names(p.syncs(exclude=["contacts"])) == ["companies"]
    assert names(p.syncs(verified=False)) == ["companies", "contacts"]


def test_a_warning_is_no_failure(root: Path) -> None:
    assert len(project(root, statuses={**PASSED, "test.tiny.t": "warn"}).syncs()) == 2


def test_never_built_is_refused(root: Path) -> None:
    with pytest.raises(GuardrailError, match="contacts: was never built"):
        project(root, statuses={"model.tiny.companies": "success"}).syncs()


def test_a_failure_is_not_forgotten_by_a_later_command(root: Path) -> None:
    p = project(root, statuses={**PASSED, "test.tiny.t": "fail"})
    with pytest.raises(GuardrailError):
        p.syncs()
    write_results(root, {"model.tiny.companies": "success"}, "i-2", which="run")
    with pytest.raises(GuardrailError, match="its test t failed"):
        load(root).syncs()
    write_results(root, PASSED, "i-3")
    assert len(load(root).syncs()) == 2
    assert load(root).dbt_invocation_id == "i-3"


def test_compiling_says_nothing_of_the_data(root: Path) -> None:
    project(root, statuses={**PASSED, "test.tiny.t": "fail"}).health()
    write_results(root, PASSED, "i-2", which="compile")
    with pytest.raises(GuardrailError):
        load(root).syncs()


def test_results_of_another_target_do_not_count(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINY_PROD_PATH", "p.duckdb")
    project(root).syncs()
    with pytest.raises(GuardrailError, match="never built"):
        load(root, target="prod").syncs()
    write_results(root, PASSED, "i-2", target="prod")
    assert len(load(root, target="prod").syncs()) == 2
    assert len(load(root).syncs()) == 2


def test_a_test_over_two_models_counts_where_it_is_written(root: Path) -> None:
    write_manifest(
        root,
        model("contacts", dict(SYNC)),
        model("companies", dict(SYNC)),
        check_on("rel", "contacts", "companies", attached="model.tiny.contacts"),
        check_on("singular", "companies"),
    )
    done = {"model.tiny.contacts": "success", "model.tiny.companies": "success"}
    done["test.tiny.singular"] = "pass"
    write_results(root, {**done, "test.tiny.rel": "fail"})
    assert names(load(root).syncs(["companies"])) == ["companies"]
    write_results(root, {**done, "test.tiny.rel": "pass", "test.tiny.singular": "fail"}, "i-2")
    assert names(load(root).syncs(["contacts"])) == ["contacts"]
    with pytest.raises(GuardrailError):
        load(root).syncs(["companies"])


@pytest.mark.parametrize(
    ("select", "exclude", "expected"),
    [
        ([], [], ["companies", "contacts"]),
        (["contacts"], [], ["contacts"]),
        (["con*"], [], ["contacts"]),
        (["tag:crm"], [], ["contacts"]),
        (["path:models/activation"], [], ["companies", "contacts"]),
        (["path:dbt_project/models/activation"], [], None),
        (["activation"], ["tag:crm"], ["companies"]),
        (["golden+"], [], ["companies", "contacts"]),
        (["+contacts"], [], ["contacts"]),
        (["golden+,tag:crm"], [], ["contacts"]),
        (["1+contacts companies"], [], ["companies", "contacts"]),
        (["@golden"], [], ["companies", "contacts"]),
        (["golden+0"], [], None),
        (["golden+1"], ["contacts.sql"], ["companies"]),
        (["config.meta.revetl.destination:hubspot"], ["tag:crm"], ["companies"]),
        (["config.contract.enforced:true,file:contacts"], [], ["contacts"]),
        (["package:this"], [], ["companies", "contacts"]),
        (["tiny.activation.contacts"], [], ["contacts"]),
        (["models/activation/*.yml"], [], ["companies", "contacts"]),
        (["config:hubspot"], [], None),
        (["tag.x:crm"], [], None),
        (["@golden+"], [], None),
        (["golden"], [], None),
        (["contcts"], [], None),
        (["state:modified"], [], None),
        (["tag:"], [], None),
        (["+"], [], None),
    ],
)
def test_selectors(root: Path, select: list[str], exclude: list[str], expected: list[str] | None) -> None:
    p = project(root)
    if expected is None:
        with pytest.raises(ConfigError):
            p.syncs(select, exclude)
    else:
        assert names(p.syncs(select, exclude)) == expected


def test_relation_of_a_model(root: Path) -> None:
    p = project(root)
    assert p.relation("golden") == Relation("main", "golden", "tiny")
    with pytest.raises(ConfigError, match="Did you mean 'golden'"):
        p.relation("goldn")
