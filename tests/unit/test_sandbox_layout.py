"""The sandbox around its vendors knows none of them by name."""

from __future__ import annotations

from pathlib import Path

import pytest

import revetl
from revetl.sandbox import registry
from revetl.sandbox.vendor import mount_of

SRC = Path(revetl.__file__).parent
SANDBOX = SRC / "sandbox"


def around_hubspot() -> list[Path]:
    """Every file of the sandbox and of its command but HubSpot's own folder and the registry."""
    commands = [p for p in (SRC / "cli").rglob("*.py") if p.stem == "sandbox" or "sandbox" in p.parent.name]
    assert commands, "the command of the sandbox is not where this test looks for it"
    files = [p for p in SANDBOX.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    own = [p for p in files if SANDBOX / "hubspot" in p.parents or p == SANDBOX / "registry.py"]
    assert len(own) > 10
    return [*commands, *(p for p in files if p not in own)]


@pytest.mark.parametrize("file", around_hubspot(), ids=lambda p: str(p.relative_to(SRC)))
def test_nothing_but_its_folder_and_the_registry_names_hubspot(file: Path) -> None:
    assert "hubspot" not in str(file.relative_to(SRC)).lower()
    assert "hubspot" not in file.read_text("utf-8").lower()


def test_every_vendor_of_ours_is_a_folder_of_its_own_and_every_folder_is_registered() -> None:
    shared = {"data_vendors", "sources"}
    folders = {p.parent.name for p in SANDBOX.glob("*/__init__.py")} - shared
    classes = registry.vendors()
    ours = {name: cls for name, cls in classes.items() if cls.__module__.startswith("revetl.")}
    assert set(ours) == folders
    for name, vendor in ours.items():
        assert vendor.__module__ == f"revetl.sandbox.{name}.vendor"


def test_mounts() -> None:
    mounts = {name: mount_of(vendor) for name, vendor in registry.vendors().items()}
    assert mounts["hubspot"] == ""
    assert mounts["hunter"] == "/providers/hunter"


def test_no_vendor_imports_another() -> None:
    names = set(registry.vendors())
    for name in names:
        for file in (SANDBOX / name).glob("*.py"):
            for other in names - {name}:
                assert f"revetl.sandbox.{other}" not in file.read_text("utf-8"), file
