"""What schemathesis makes of the document, against the API: a seed and a few examples for each route. The long form is
`python -m verification api`."""

from __future__ import annotations

from tests.support.schemathesis_runs import check_api


def test_a_few_examples_of_every_route_fit_the_document() -> None:
    found = check_api(seed=17, examples=2)
    assert found.failures == []
    assert found.routes == 19
    assert found.requests > 60
