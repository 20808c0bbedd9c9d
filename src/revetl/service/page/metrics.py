"""`/metrics`, in Prometheus's text form. Labels are names of syncs and words of ours."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from revetl.service.page.reading import Overview
from revetl.service.scheduling import WorkerState

_WORDS = ("done", "partial", "stopped", "failed")


class _OfOverview(Collector):
    def __init__(self, overview: Overview, state: WorkerState) -> None:
        self._overview, self._state = overview, state

    def collect(self) -> Iterator[Metric]:
        ended = GaugeMetricFamily(
            "revetl_last_run_end_timestamp_seconds", "When the last run ended.", labels=["subject", "status"]
        )
        well = GaugeMetricFamily(
            "revetl_last_good_run_end_timestamp_seconds", "When the last run that went well ended.", labels=["subject"]
        )
        waiting = GaugeMetricFamily("revetl_records_waiting", "Records in the retry queue.", labels=["subject"])
        for sync in self._overview.syncs:
            if sync.last is not None:
                status = sync.last.status if sync.last.status in _WORDS else "other"
                ended.add_metric([sync.subject, status], sync.last.ended_at.timestamp())
                waiting.add_metric([sync.subject], sync.waiting)
            if sync.well_at is not None:
                well.add_metric([sync.subject], sync.well_at.timestamp())
        due = GaugeMetricFamily("revetl_due_runs", "Due runs that wait or are under way.", labels=["status"])
        for status in ("waiting", "running"):
            due.add_metric([status], self._overview.counted.get(status, 0))
        yield from (ended, well, waiting, due)
        yield GaugeMetricFamily("revetl_incidents_open", "Incidents.", value=len(self._overview.incidents))
        leading = int(self._state.leading)
        yield GaugeMetricFamily("revetl_service_leading", "Whether this worker runs the schedules.", value=leading)
        read_at = self._overview.read_at.timestamp()
        yield GaugeMetricFamily("revetl_read_timestamp_seconds", "When these figures were read.", value=read_at)


def exposition(overview: Overview, state: WorkerState) -> tuple[bytes, str]:
    """(body, content type)"""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_OfOverview(overview, state))
    return generate_latest(registry), CONTENT_TYPE_LATEST
