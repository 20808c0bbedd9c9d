"""What no example shows. A pointer that matches nowhere in the vendor's own answers would spend money on nothing, so it
is refused before anybody is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from revetl.documents import Document
from revetl.errors import Problem
from revetl.providers.base import Answer, ProvidedValue
from revetl.providers.examples.files import Example
from revetl.providers.examples.replay import ExampleCantBePlayed, play
from revetl.providers.grammar import ProviderSpec

# What every endpoint has to show.
CASES = ("hit", "throttled", "error")


def missing_cases(name: str, examples: Sequence[Example]) -> list[str]:
    """The cases that this provider's examples do not show."""
    shown = {example.case for example in examples if example.provider == name}
    return [case for case in CASES if case not in shown]


def dead_pointers(spec: ProviderSpec, examples: Iterable[Example], document: Document) -> list[Problem]:
    """Outputs, confidence and verification that come to nothing in every hit among this endpoint's examples, each at
    its line of the vendor's file, `document`. None where no example is a hit."""
    values = _values(spec, [example for example in examples if example.provider == spec.name])
    if not values:
        return []
    at = ("endpoints", spec.name.removeprefix(f"{spec.vendor}."))
    found = []
    for field, output in spec.outputs.items():
        of_field = [value for value in values if value.field == field]
        place = (*at, "outputs", field)
        if not of_field:
            where = " or ".join((*(output.pick.list_at if output.pick else ()), *output.at))
            message = f"no example shows a value of {field!r}: nothing usable stands at {where}"
            found.append(document.problem(place, message))
        elif output.confidence is not None and all(value.confidence is None for value in of_field):
            found.append(
                document.problem((*place, "confidence"), f"no example shows a confidence at {output.confidence.at}")
            )
        elif output.verification is not None and all(value.verification is None for value in of_field):
            message = f"no example shows a verdict at {output.verification.at}"
            found.append(document.problem((*place, "verification"), message))
    for key, rule, given in (
        ("confidence", spec.confidence, [v.confidence for v in values if spec.outputs[v.field].confidence is None]),
        (
            "verification",
            spec.verification,
            [v.verification for v in values if spec.outputs[v.field].verification is None],
        ),
    ):
        if rule is not None and given and all(each is None for each in given):
            found.append(document.problem((*at, key), f"no example shows anything at {rule.at}"))
    return found


def _values(spec: ProviderSpec, examples: Sequence[Example]) -> list[ProvidedValue]:
    values: list[ProvidedValue] = []
    for example in examples:
        answers = example.content.answers or {}
        expected: Mapping[str, object] = {"": example.content.answer} if example.content.answer else answers
        if not any(getattr(answer, "status", None) == "hit" for answer in expected.values()):
            continue
        try:
            replies = play(spec, example).replies.values()
        except ExampleCantBePlayed:
            continue
        values += [value for reply in replies if isinstance(reply, Answer) for value in reply.values]
    return values
