"""Every file of enrichment/examples/ is documentation and a test: what is sent, what comes back, what it means."""

from __future__ import annotations

from pathlib import Path

from revetl.testing import ProviderExamples


class TestShippedProviders(ProviderExamples):
    enrichment = Path(__file__).parents[2] / "enrichment"
