"""Every piece of docs/guides/sync-definition.md is a sync, read as a project's is; no option is left out."""

from __future__ import annotations

import re
from typing import Any, get_args

import pytest
import yaml
from jsonschema import Draft202012Validator

from revetl.model import FieldPolicy, Metadata, OnLeave, OptionsRule, WhenNull
from revetl.project.sync_meta import AssociateMeta, FieldMeta, SyncMeta
from revetl.usecases.schema import json_schema
from tests.support.guides import PAGES, blocks

PAGE = "docs/guides/sync-definition.md"
PIECES = [(block.line, block.text) for block in blocks(PAGE)]
OF_OTHERS = [("docs/guides/backup-and-restore.md", "yaml sync")]
# Guides of their own have what is said of these.
ELSEWHERE = {"renamed_from", "redirects"}


@pytest.mark.parametrize(("line", "text"), PIECES, ids=[str(line) for line, _ in PIECES])
def test_every_piece_is_a_sync(line: int, text: str) -> None:
    piece: dict[str, Any] = yaml.safe_load(text)
    Draft202012Validator(json_schema("sync")).validate(piece)
    assert SyncMeta.model_validate(piece).model_dump(exclude_unset=True) == piece, line


@pytest.mark.parametrize(("page", "words"), OF_OTHERS)
def test_a_piece_on_another_page_is_part_of_a_sync(page: str, words: str) -> None:
    (text,) = (block.text for block in blocks(page) if block.words == words)
    piece = {"destination": "hubspot", "object": "contacts", **yaml.safe_load(text)}
    assert SyncMeta.model_validate(piece).model_dump(exclude_unset=True) == piece


def test_no_option_and_no_word_is_left_out() -> None:
    said: set[str] = {name for _, text in PIECES for name in yaml.safe_load(text)}
    assert set(SyncMeta.model_fields) - ELSEWHERE <= said
    text = PAGES[PAGE].read_text("utf-8")
    words = [word for choice in (OnLeave, FieldPolicy, WhenNull, Metadata, OptionsRule) for word in get_args(choice)]
    for word in (*words, *FieldMeta.model_fields, *AssociateMeta.model_fields):
        assert re.search(rf"\b{word}\b", text), word
