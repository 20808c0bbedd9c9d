"""The suites that connectors and providers inherit, ours and other people's: `docs/guides/write-a-destination.md` and
`docs/guides/add-a-provider.md` use them.

pytest is needed here and nowhere else in revetl.
"""

from __future__ import annotations

import pytest

# Before the import: pytest explains a failed assertion only in modules that it has rewritten.
pytest.register_assert_rewrite("revetl.testing.destinations", "revetl.testing.providers")

from revetl.testing.destinations.harness import LinkCase, StoredRecord  # noqa: E402 - after the rewriting
from revetl.testing.destinations.suite import DestinationSuite  # noqa: E402 - after the rewriting
from revetl.testing.destinations.wire import VendorWire  # noqa: E402 - after the rewriting
from revetl.testing.providers import ProviderExamples  # noqa: E402 - after the rewriting

__all__ = ["DestinationSuite", "LinkCase", "ProviderExamples", "StoredRecord", "VendorWire"]
