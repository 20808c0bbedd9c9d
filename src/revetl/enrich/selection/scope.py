"""Over which records of which relation, at which moment, something is selected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from revetl.enrich.selection.partition import EVERYTHING, Partition
from revetl.enrich.waterfall import WaterfallSpec
from revetl.model import Relation
from revetl.providers.grammar import ProviderSpec
from revetl.warehouse.base import Warehouse


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """One waterfall over one relation at one moment.

    providers  at least those that the waterfall asks
    entity     the name under which values are kept
    run_id     the run whose costs count against a budget per record
    now        answers and values are fresh or expired as of this moment
    limit      only the first so many records by key, the same ones in every stage and every run; None: all
    partition  only these of them
    doubted_own  what a list holds itself and nobody has verified yet counts as lacking: the most that may be asked
    suppressed  rows of (provider, key): records about which that provider is never asked, since their people are
             suppressed. Of a forecast: a run leaves them out as it reads its questions
    """

    warehouse: Warehouse
    spec: WaterfallSpec
    providers: Mapping[str, ProviderSpec]
    relation: Relation
    entity: str
    run_id: str
    now: datetime
    limit: int | None = None
    partition: Partition = EVERYTHING
    doubted_own: bool = False
    suppressed: Relation | None = None
