"""What the guide and the design say of providers is what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
import yaml
from jsonschema import Draft202012Validator

from revetl.cli import main as shell
from revetl.providers.grammar import (
    COMMON_FIELDS,
    LookupVerdict,
    PollVerdict,
    RecordVerdict,
    Transform,
    VendorFile,
    load_providers,
)
from revetl.providers.options import AccountLimits, AccountOptions
from tests.support.guides import blocks, reader

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = (DOCS / "guides" / "add-a-provider.md").read_text()
DESIGN = (DOCS / "design" / "providers.md").read_text()


def test_the_guides_example_is_a_valid_provider(tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml[^\n]*\n(.*?)```", GUIDE, re.DOTALL)
    (tmp_path / "acme.yml").write_text(blocks[0])
    spec = load_providers(tmp_path)["acme.phone"]
    assert spec.can_ask({"linkedin_url": "https://linkedin.com/in/x"})
    for fields in COMMON_FIELDS.values():
        assert all(f"`{field}`" in GUIDE for field in fields)


def test_the_design_explains_every_verdict_and_transform() -> None:
    assert set(get_args(LookupVerdict)) <= set(re.findall(r"`(\w+)`", DESIGN))
    assert set(get_args(Transform)) <= set(re.findall(r"`(\w+)`", DESIGN))


def test_the_grammar_has_a_json_schema() -> None:
    schema = VendorFile.model_json_schema()
    assert {"vendor", "auth", "endpoints"} <= set(schema["properties"])
    assert schema["additionalProperties"] is False


def test_an_editor_with_the_schema_finds_nothing_wrong_with_the_shipped_files() -> None:
    validator = Draft202012Validator(VendorFile.model_json_schema())
    files = sorted((DOCS.parent / "enrichment" / "providers").glob("*.yml"))
    assert len(files) >= 9
    for path in files:
        found = [(list(e.absolute_path), e.message) for e in validator.iter_errors(yaml.safe_load(path.read_text()))]
        assert not found, path.name
    assert list(validator.iter_errors({"vendor": "x"}))


def test_the_guides_batch_and_job_are_valid_too(tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml[^\n]*\n(.*?)```", GUIDE, re.DOTALL)
    price, batch, job = (next(b for b in blocks if b.startswith(f"    {word}")) for word in ("price", "request", "job"))
    endpoint = "  bulk:\n    entity: person\n    inputs: [email]\n    sufficient: [[email]]\n"
    rest = "    status: [{http: 200, verdict: hit}]\n    outputs: {phone: {at: /phone}}\n"
    (tmp_path / "acme.yml").write_text(blocks[0] + endpoint + rest + price + batch + job)
    spec = load_providers(tmp_path)["acme.bulk"]
    assert spec.batch is not None
    assert spec.job is not None
    assert spec.job.callback is not None


def test_the_guides_files_pass_their_own_test(tmp_path: Path) -> None:
    with reader(tmp_path, tmp_path / "state", print) as somebody:
        for block in blocks("docs/guides/add-a-provider.md"):
            if block.file or block.language == "console":
                somebody.run(block)
        project = tmp_path / "crm"
        assert somebody.cwd == project
        # What the file does not say fails.
        hit = project / "enrichment/examples/acme/phone.hit.yml"
        hit.write_text(hit.read_text().replace("charged_usd: 0.25", "charged_usd: 0.24"))
        assert "1 failed, 4 passed" in somebody.shell("pytest tests/test_providers.py")
        assert "2 examples hold, 1 do not" in somebody.shell("revetl provider test acme")


def test_the_guides_pieces_of_yaml_are_pieces_of_a_vendors_file(tmp_path: Path) -> None:
    """A price with credits, and a verifier; accounts as connections.yml has them."""
    pieces = [b.text for b in blocks("docs/guides/add-a-provider.md") if b.words == "yaml"]
    assert len(pieces) == 5
    _, price, _, _, verification = pieces
    endpoint = (
        "  check:\n    entity: person\n    kind: verifier\n    inputs: [email]\n    sufficient: [[email]]\n"
        "    request: {method: GET, path: /v1/check, query: {email: '{email}'}}\n"
        "    status: [{http: 200, verdict: hit}]\n    outputs: {email: {at: /email}}\n"
    )
    whole = next(b.text for b in blocks("docs/guides/add-a-provider.md") if b.file)
    (tmp_path / "acme.yml").write_text(whole + endpoint + price + verification)
    assert load_providers(tmp_path)["acme.check"].verification is not None
    connection = next(b.text for b in blocks("docs/guides/add-a-provider.md") if b.words.startswith("yaml append"))
    account = yaml.safe_load(connection)["acme"]["outputs"]["default"]
    AccountOptions.model_validate(account)


def test_the_guide_names_every_option_of_a_connection() -> None:
    names = [*AccountOptions.model_fields, *AccountLimits.model_fields]
    assert [name for name in names if name not in GUIDE] == []


def test_the_design_explains_what_a_poll_and_a_record_may_say() -> None:
    words = set(re.findall(r"`(\w+)`", DESIGN))
    assert set(get_args(PollVerdict)) | set(get_args(RecordVerdict)) <= words


def test_the_reference_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert shell.run(["schema", "provider", "--markdown"]) == 0
    printed = capsys.readouterr().out
    kept = (DOCS / "reference" / "provider.md").read_text()
    assert printed == kept, "revetl schema provider --markdown > docs/reference/provider.md"
    for part in VendorFile.model_json_schema()["$defs"]:
        assert f"## {part}\n" in printed
