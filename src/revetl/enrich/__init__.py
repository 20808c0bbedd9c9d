"""Waterfall enrichment: fill what records lack from providers, at a price that is known and bounded."""

from revetl.enrich.report import EnrichReport, Estimate, FieldReport, Progress, ProviderReport, StageEstimate

__all__ = ["EnrichReport", "Estimate", "FieldReport", "Progress", "ProviderReport", "StageEstimate"]
