"""`ProviderExamples`: every file of an `enrichment/examples/` folder, played as a test.

An example is documentation and a test at once: what is sent, what comes back, what it means. The vendor is played by
the file's own answers: nothing leaves the machine, and no wait takes long. `revetl provider test` plays the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import ClassVar

import pytest

from revetl.documents import read_yaml
from revetl.providers.examples.coverage import dead_pointers, missing_cases
from revetl.providers.examples.files import Example, read_examples
from revetl.providers.examples.replay import differences
from revetl.providers.grammar import ProviderSpec, load_providers


class ProviderExamples:
    """Inherit it, and say where the folder with `providers/` and `examples/` is. `vendor`: only this one's.

    class TestProviders(ProviderExamples):
        enrichment = Path(__file__).parents[1] / "enrichment"
    """

    enrichment: ClassVar[Path]
    vendor: ClassVar[str] = "*"

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        examples = _examples(self.enrichment, self.vendor)
        batches = [example for example in examples if example.content.lookups is not None]
        for argument, chosen in (("batch", batches), ("single", [e for e in examples if e not in batches])):
            if argument in metafunc.fixturenames:
                metafunc.parametrize(argument, chosen, ids=lambda e: f"{e.path.parent.name}/{e.path.stem}")

    def test_the_example_holds(self, single: Example) -> None:
        assert differences(_specs(self.enrichment)[single.provider], single) == []

    def test_the_batch_holds(self, batch: Example) -> None:
        assert differences(_specs(self.enrichment)[batch.provider], batch) == []

    def test_every_endpoint_shows_its_dialect(self) -> None:
        examples = _examples(self.enrichment, self.vendor)
        declared = {n for n, spec in _specs(self.enrichment).items() if self.vendor in ("*", spec.vendor)}
        for name in declared:
            assert missing_cases(name, examples) == [], name
        assert {example.provider for example in examples} == declared

    def test_every_pointer_matches_in_an_example(self) -> None:
        examples = _examples(self.enrichment, self.vendor)
        for name, spec in _specs(self.enrichment).items():
            if self.vendor not in ("*", spec.vendor):
                continue
            (file,) = [path for path in _files(self.enrichment) if _vendor_of(path) == spec.vendor]
            found = dead_pointers(spec, [e for e in examples if e.provider == name], read_yaml(file))
            assert [str(problem) for problem in found] == []


@cache
def _specs(enrichment: Path) -> dict[str, ProviderSpec]:
    return dict(load_providers(enrichment / "providers"))


@cache
def _examples(enrichment: Path, vendor: str) -> Sequence[Example]:
    return read_examples(enrichment / "examples", vendor)


def _files(enrichment: Path) -> list[Path]:
    folder = enrichment / "providers"
    return [*folder.glob("*.yml"), *folder.glob("*.yaml")]


@cache
def _vendor_of(path: Path) -> str:
    data = read_yaml(path).data
    return str(data.get("vendor")) if isinstance(data, dict) else ""
