"""Whether a relation has the columns that a waterfall names."""

from __future__ import annotations

from revetl.enrich.waterfall import WaterfallSpec
from revetl.errors import ConfigError, did_you_mean
from revetl.model import Relation
from revetl.warehouse.base import Warehouse


def check_columns(warehouse: Warehouse, spec: WaterfallSpec, entity: Relation) -> None:
    """ConfigError with every column that the waterfall names and the relation has not."""
    found = [column.name for column in warehouse.columns(entity)]
    if not found:
        raise ConfigError(f"{entity.schema}.{entity.name} does not exist", hint="Build it first: revetl build")
    lower = {name.lower() for name in found}
    wanted = dict.fromkeys([spec.key, *spec.inputs.values(), *(spec.column(f) for f in spec.fields)])
    missing = [name for name in wanted if name.lower() not in lower]
    if missing:
        named = ", ".join(repr(name) for name in missing)
        message = f"the waterfall {spec.name} names {named}, which {entity.name} has not"
        raise ConfigError(message, hint=did_you_mean(missing[0], found))
