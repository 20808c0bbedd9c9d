"""One process that runs a waterfall against a sandbox, for tests of several at once: `python -m … '<JSON>'`.

Says `ready` when it is connected, waits for a line, runs, and says what came of it as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from revetl.clock import SystemClock
from revetl.enrich.execution.engine import run_waterfall
from revetl.enrich.waterfall import WaterfallSpec
from revetl.model import Relation
from revetl.providers.grammar import load_providers
from revetl.providers.registry import account_options, connect
from revetl.warehouse.open import open_warehouse
from tests.support.enrich_fakes import context

PROVIDERS = Path(__file__).parents[2] / "enrichment" / "providers"


def main(order: dict[str, Any]) -> None:
    clock = SystemClock()
    specs = load_providers(PROVIDERS)
    spec = WaterfallSpec.model_validate(order["waterfall"])
    warehouse = open_warehouse(order["output"], root=Path("."), state_schema="revetl")

    def options(vendor: str) -> Any:
        given = {"api_key": order["key"], "base_url": f"{order['base_url']}/providers/{vendor}"}
        return account_options(vendor, given)

    async def run() -> Any:
        providers = connect(spec.provider_names, specs, options, clock)
        relation = Relation("marts", order["relation"])
        return await run_waterfall(context(warehouse, clock, order["run_id"]), spec, providers, relation)

    print("ready", flush=True)
    sys.stdin.readline()
    report = asyncio.run(run())
    filled = {name: field.filled_after for name, field in report.fields.items()}
    told = {"asked": report.asked, "usd": str(report.spent_usd), "filled": filled, "stopped": report.stopped}
    print(json.dumps(told), flush=True)
    warehouse.close()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
