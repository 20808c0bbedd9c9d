"""No block of README or of a guide is left without somebody who runs it, and no command in a sentence is misspelled."""

from __future__ import annotations

import re
import shlex
from fnmatch import fnmatchcase
from pathlib import Path

import click
import pytest

from revetl.cli.main import cli
from tests.support.guides import PAGES, REPOSITORY, blocks

GUIDES = "docs/guides"
# Read from top to bottom there, where a block that nobody can run fails.
READ = "tests/cli/test_guides.py"
# Fences of pages that have a test of their own: file and function that run them.
OWN = {
    f"{GUIDES}/existing-project.md": {
        "console": "tests/cli/test_existing_project_guide.py::test_every_command_does_what_the_guide_shows",
        "yaml": "tests/cli/test_existing_project_guide.py::test_every_piece_of_yaml_is_one",
    },
    f"{GUIDES}/postgres.md": {
        "console": "tests/unit/test_warehouse_snowflake.py::test_the_extra_that_a_guide_installs",
        "yaml profile": "tests/unit/test_warehouse_connecting.py::test_the_profile_of_the_guide_opens",
        "sh first-run": "tests/unit/test_warehouse_permissions.py::test_",
    },
    f"{GUIDES}/snowflake.md": {
        "console": "tests/unit/test_warehouse_snowflake.py::test_the_extra_that_a_guide_installs",
        "yaml profile": "tests/unit/test_warehouse_snowflake.py::test_the_profile_of_the_guide_is_read",
        "sh first-run": "tests/unit/test_warehouse_snowflake.py::test_",
    },
    f"{GUIDES}/permissions.md": {
        "sql sender": "tests/unit/test_warehouse_permissions.py::grants",
        "sql builder": "tests/unit/test_warehouse_permissions.py::grants",
        # No stand-in enforces Snowflake's grants: the page says so, and only their form is looked at here.
        "sql app": "tests/contract/test_databases_guide.py::test_the_page",
        "sql shop": "tests/contract/test_databases_guide.py::test_the_page",
        "sql snowflake": "tests/unit/test_guide_blocks.py::test_the_grants_for_snowflake_are_of_its_form",
    },
    f"{GUIDES}/sync-definition.md": {"yaml": "tests/unit/test_sync_definition_guide.py::test_every_piece_is_a_sync"},
    f"{GUIDES}/python.md": {"python": "tests/cli/test_python_api.py::test_the_guide_runs_as_it_stands"},
    f"{GUIDES}/add-a-provider.md": {
        "yaml*": "tests/unit/test_provider_docs.py::test_the_guides_",
        "python title=*": "tests/unit/test_provider_docs.py::test_the_guides_",
        "csv title=*": "tests/unit/test_provider_docs.py::test_the_guides_",
        "console": "tests/unit/test_provider_docs.py::test_the_guides_",
    },
    f"{GUIDES}/databases.md": {"*": "tests/contract/test_databases_guide.py::test_the_page"},
    f"{GUIDES}/files.md": {"*": "tests/contract/test_files_guide.py::test_the_page"},
    f"{GUIDES}/hubspot.md": {
        "yaml connection": "tests/cli/test_hubspot_guide.py::test_its_pieces_are_what_they_say",
        "yaml sync": "tests/cli/test_hubspot_guide.py::test_its_pieces_are_what_they_say",
        "*": "tests/cli/test_hubspot_guide.py::test_the_page",
    },
    f"{GUIDES}/golden-ids.md": {"*": "tests/dbt/test_starter.py::test_the_guide_of_golden_ids"},
    f"{GUIDES}/match-your-own-records.md": {
        "* title=*": "tests/dbt/test_matching_any_columns.py::test_the_guide_matches_members_of_a_club",
        "yaml": "tests/unit/test_matching_meta.py::test_what_the_guide_adds_is_taken",
    },
    f"{GUIDES}/examples.md": {"*": "tests/cli/test_examples_guide.py::test_"},
    f"{GUIDES}/salesforce.md": {"*": "tests/cli/test_salesforce_guide.py::test_the_page"},
    f"{GUIDES}/alerts.md": {"*": "tests/cli/test_alerts_command.py::test_the_page"},
    f"{GUIDES}/service.md": {"*": "tests/cli/test_service_guide.py::test_the_page"},
    f"{GUIDES}/slack.md": {"*": "tests/cli/test_slack_guide.py::test_the_page"},
    f"{GUIDES}/google-sheets.md": {"*": "tests/cli/test_google_sheets_guide.py::test_the_page"},
    f"{GUIDES}/recipes.md": {"yaml recipe=*": "tests/contract/test_recipes.py::test_a_recipe_sends_what_the_vendor_"},
    f"{GUIDES}/connect-any-api.md": {"*": "tests/cli/test_connect_any_api.py::test_the_page"},
    f"{GUIDES}/write-a-destination.md": {
        "": "tests/contract/test_destination_guide.py::test_the_example_is_the_guide",  # the tree of its files
        "* title=*": "tests/contract/test_destination_guide.py::package",
        "console": "tests/contract/test_destination_guide.py::test_the_commands_of_the_page",
        "python": "tests/contract/test_destination_suite.py::test_",  # a waiver
    },
}


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_run(page: str) -> None:
    if page not in OWN:
        assert f'read("{page}"' in (REPOSITORY / READ).read_text(encoding="utf-8")
        return
    by = OWN[page]
    for block in blocks(page):
        assert any(fnmatchcase(block.words, words) for words in by), f"nobody runs {block}"
    for words, place in by.items():
        assert any(fnmatchcase(block.words, words) for block in blocks(page)), f"{page} has no ```{words} any more"
        file, _, function = place.partition("::")
        text = (REPOSITORY / file).read_text(encoding="utf-8")
        assert f"def {function}" in text, place
        assert Path(page).name in text or "GUIDE.with_name" in text or "small_connector" in text, place


def commands_in_sentences() -> list[tuple[str, str]]:
    """(page, command): every `revetl …` between backticks or on an indented line, in all of the documentation."""
    found = []
    pages = [*PAGES.values(), REPOSITORY / "ARCHITECTURE.md", *(REPOSITORY / "docs").glob("*/*.md")]
    for path in sorted(set(pages)):
        text = path.read_text(encoding="utf-8")
        for command in re.findall(r"(?:`|^ {4})(revetl [a-z][^`\n]*)", text, re.MULTILINE):
            found.append((path.relative_to(REPOSITORY).as_posix(), command.strip()))
    return found


def test_commands_in_sentences_exist_with_their_options() -> None:
    """As far as the words go: files and keys are made up."""
    wrong = []
    for page, command in commands_in_sentences():
        words = shlex.split(re.sub(r"\s{2,}.*$|\s#\s.*$", "", command.replace("…", "").replace("'", "")))[1:]
        here: click.Command = cli
        context = click.Context(cli, info_name="revetl")
        try:
            while words and isinstance(here, click.Group) and not words[0].startswith("-"):
                _, found, words = here.resolve_command(context, words)
                assert found is not None
                here = found
        except click.UsageError as e:
            wrong.append(f"{page}: `{command}`: {e}")
            continue
        known = {option for parameter in here.params for option in (*parameter.opts, *parameter.secondary_opts)}
        known |= {"--help", "-h", "--debug"}
        wrong += [
            f"{page}: `{command}`: no option {word}"
            for word in words
            if word.startswith("-") and word != "-" and word.split("=")[0].rstrip(",.:;") not in known
        ]
    assert not wrong, "\n".join(wrong)
    assert len(commands_in_sentences()) > 100


def test_the_extras_that_the_pages_install_are_offered() -> None:
    import tomllib

    offered = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    named = {
        extra
        for page in PAGES.values()
        for extras in re.findall(
            r"pip install (?:-c constraints\.txt )?['\"]?(?:\.|revetl)\[([\w,]+)\]", page.read_text(encoding="utf-8")
        )
        for extra in extras.split(",")
    }
    assert named - {"test"} <= set(offered)  # `test` is the extra of the package that a guide writes
    assert {"starter", "postgres", "snowflake", "pandas"} <= named


def test_the_grants_for_snowflake_are_of_its_form() -> None:
    """As its documentation writes them; that a role can work with them is not tested, and the page says so."""
    (block,) = (b for b in blocks("docs/guides/permissions.md") if b.words == "sql snowflake")
    rights = r"(?:USAGE|SELECT|CREATE TABLE)(?:, (?:USAGE|SELECT|CREATE TABLE))*"
    where = r"(?:WAREHOUSE|DATABASE|SCHEMA|(?:ALL|FUTURE) (?:TABLES|VIEWS) IN SCHEMA) [A-Z]+(?:\.[A-Z]+)?"
    statements = [line for line in block.text.splitlines() if line]
    assert len(statements) == 8
    for statement in statements:
        assert re.fullmatch(rf"GRANT {rights} ON {where} TO ROLE [A-Z]+;", statement), statement


def test_what_the_pages_make_has_a_target() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {name for page in PAGES.values() for name in re.findall(r"`make ([a-z-]+)`", page.read_text("utf-8"))}
    assert named >= {"demo", "officials", "bench", "verify"}
    assert named <= targets
