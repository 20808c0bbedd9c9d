"""`/v1` held to its OpenAPI document by schemathesis: requests that fit the document and requests that do not, drawn by a
seed, for every route. An answer has to be one that the document has, in its form; what does not fit has to be refused,
and what fits must not be refused for its form."""

from __future__ import annotations

import os
import sys

from benchmarks.report import Section
from tests.support.schemathesis_runs import check_api

EXAMPLES = int(os.environ.get("REVETL_API_EXAMPLES", "100"))


def measure(examples: int = EXAMPLES) -> Section:
    found = check_api(int(os.environ.get("REVETL_FIRST_SEED", "0")), examples)
    answered = ", ".join(f"{n:,} × {status}" for status, n in sorted(found.by_status.items()))
    failures = [
        (f"failure {i}", said.replace("|", "\\|").replace("\n", " ")) for i, said in enumerate(found.failures, 1)
    ]
    return Section(
        title="The API against its document",
        workload=f"schemathesis: {examples} requests of each route that fit the document, {examples} that do not.",
        header=("", "figure"),
        rows=[
            ("routes", str(found.routes)),
            ("requests", f"{found.requests:,}"),
            ("answered", answered),
            ("answers that the document does not have", str(len(found.failures))),
            *failures[:5],
        ],
        verdict=f"Target 0 failures: {'NOT met' if found.failures else 'met'}.",
    )


if __name__ == "__main__":
    print(measure(int(sys.argv[1])).markdown())
