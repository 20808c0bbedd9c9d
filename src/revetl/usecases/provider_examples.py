"""`revetl provider test`: the examples of a project's providers, played. Nobody is asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from revetl.documents import Document, read_yaml
from revetl.errors import ConfigError, Problem, did_you_mean
from revetl.providers.examples.coverage import dead_pointers, missing_cases
from revetl.providers.examples.files import Example, read_examples
from revetl.providers.examples.replay import ExampleCantBePlayed, differences

if TYPE_CHECKING:
    from revetl.project import Project
    from revetl.providers.grammar import ProviderSpec

EXAMPLES = "examples"


@dataclass(frozen=True, slots=True)
class PlayedExample:
    """`differences`: what came out otherwise than the file says; none where it holds."""

    path: Path
    provider: str
    case: str
    differences: Sequence[str]


@dataclass(slots=True)
class PlayedExamples:
    """`problems`: pointers that match in no example, each at its line. `missing`: provider → cases that it does not
    show, which fails nothing. No example at all does: a check that tests nothing would pass for ever."""

    examples: list[PlayedExample] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    missing: dict[str, list[str]] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        failed = self.problems or any(example.differences for example in self.examples)
        return 1 if failed or not self.examples else 0


def play_examples(project: Project, name: str | None = None) -> PlayedExamples:
    """All providers, those of one vendor, or one. ConfigError for a name that is none, and for an example that can't be
    read. Safe to repeat; it needs no warehouse, no key and no network."""
    specs = _named(project, name)
    folder = project.root / project.settings.enrichment / EXAMPLES
    vendors = dict.fromkeys(spec.vendor for spec in specs)
    examples = [example for vendor in vendors for example in read_examples(folder, vendor)]
    result = PlayedExamples()
    for spec in specs:
        own = [example for example in examples if example.provider == spec.name]
        for example in own:
            result.examples.append(PlayedExample(example.path, spec.name, example.case, _differences(spec, example)))
        if missing := missing_cases(spec.name, own):
            result.missing[spec.name] = missing
        result.problems += dead_pointers(spec, own, vendor_document(project, spec.vendor))
    result.problems += _of_no_endpoint(project, examples)
    return result


def refuse_dead_pointers(project: Project, names: Iterable[str]) -> None:
    """ConfigError with every pointer of these providers that matches in none of their examples: it would spend money on
    nothing. A provider without examples passes."""
    folder = project.root / project.settings.enrichment / EXAMPLES
    problems: list[Problem] = []
    specs = [project.providers[name] for name in dict.fromkeys(names) if name in project.providers]
    for vendor in dict.fromkeys(spec.vendor for spec in specs):
        examples = read_examples(folder, vendor)
        for spec in specs:
            if spec.vendor == vendor:
                problems += dead_pointers(spec, examples, vendor_document(project, vendor))
    if problems:
        raise ConfigError(problems)


def _differences(spec: ProviderSpec, example: Example) -> list[str]:
    try:
        return differences(spec, example)
    except ExampleCantBePlayed as e:
        return [str(e)]


def _named(project: Project, name: str | None) -> list[ProviderSpec]:
    found = [spec for spec in project.providers.values() if name is None or name in (spec.name, spec.vendor)]
    if not found:
        known = [*project.providers, *dict.fromkeys(spec.vendor for spec in project.providers.values())]
        raise ConfigError(
            "the project has no providers" if name is None else f"no provider {name!r}",
            hint=did_you_mean(name or "", known),
        )
    return found


def _of_no_endpoint(project: Project, examples: Sequence[Example]) -> Iterator[Problem]:
    for example in examples:
        if example.provider not in project.providers:
            message = f"{example.provider!r} is no provider"
            yield example.document.problem(("provider",), message, did_you_mean(example.provider, [*project.providers]))


def vendor_document(project: Project, vendor: str) -> Document:
    """The file that describes it. KeyError where there is none."""
    folder = project.root / project.settings.enrichment / "providers"
    for path in sorted([*folder.glob("*.yml"), *folder.glob("*.yaml")]):
        document = read_yaml(path)
        if isinstance(document.data, dict) and document.data.get("vendor") == vendor:
            return document
    raise KeyError(vendor)
