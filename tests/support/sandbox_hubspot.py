"""The portal behind a sandbox, for tests that look inside or set records up directly."""

from __future__ import annotations

from revetl.sandbox.hubspot.portal import Portal
from revetl.sandbox.hubspot.vendor import HubSpotSandbox
from revetl.sandbox.server import RunningSandbox


def portal_of(running: RunningSandbox) -> Portal:
    """The present one: a reset puts another in its place."""
    return running.vendor(HubSpotSandbox).portal
