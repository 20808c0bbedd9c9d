"""A small project against a sandbox on loopback, for the tests that call commands as a person does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli_project import project_at, sandbox_thread


@pytest.fixture(scope="module")
def sandbox_url() -> Iterator[str]:
    with sandbox_thread() as url:
        yield url


@pytest.fixture
def project(tmp_path: Path, sandbox_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Without COLUMNS (pytest-xdist hands one down) tables are as wide as they need, so no name is cut short."""
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setenv("REVETL_PROJECT_DIR", str(tmp_path))
    return project_at(tmp_path, sandbox_url)
