"""A run's row in `runs`, from its start to whatever end it comes to: what is raised inside is written down and goes on.
The process dies → the row says running until the next run of the sync recovers, which sets it to interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from revetl.clock import Clock
from revetl.destinations.base import Destination
from revetl.destinations.capabilities import requests_of
from revetl.errors import GuardrailError, RevetlError
from revetl.model import RunRecord
from revetl.state import runs
from revetl.sync.plan.matching import Offload
from revetl.warehouse.base import Warehouse


@asynccontextmanager
async def recorded(
    warehouse: Warehouse, run: RunRecord, destination: Destination, clock: Clock, offload: Offload
) -> AsyncIterator[None]:
    """Inside, the run goes on; who comes to its end sets its status. What is raised is written down and goes on."""
    await offload(runs.start_run, warehouse, run)
    try:
        yield
    except RevetlError as e:
        run.status, run.error = ("stopped" if isinstance(e, GuardrailError) else "failed"), str(e)
        raise
    except asyncio.CancelledError:
        run.status = "interrupted"
        raise
    except Exception as e:
        run.status, run.error = "failed", type(e).__name__
        raise
    finally:
        run.finished_at = clock.now()
        run.requests, run.retries = requests_of(destination)
        await offload(runs.finish_run, warehouse, run)
