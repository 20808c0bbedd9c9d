"""Tests of one `xdist_group` run in one worker, so that what they share (a server, a built project) is made once.

pytest-xdist tells its workers' groups apart by the end of a test's id, `…::test_one@group`, and writes it into an
attribute that pytest 9.2 no longer reads: without a word every group was divided among the workers.
"""

from __future__ import annotations

import pytest


def keep_groups_together(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Within a worker of `--dist loadgroup`; elsewhere ids stay as they are."""
    if not getattr(config.option, "loadgroup", False):
        return
    for item in items:
        group = group_of(item)
        if group is not None and not item.nodeid.endswith(f"@{group}"):
            item._id = type(item.id).parse(f"{item.nodeid}@{group}")
    # Groups come first in any case. Of the others those that take long, so that no worker is left with one at the end.
    items.sort(key=lambda item: not item.nodeid.startswith("tests/verification/"))


def group_of(item: pytest.Item) -> str | None:
    """Of two groups both are named, as xdist does it."""
    names = {str(mark.args[0]) for mark in item.iter_markers("xdist_group")}
    return "_".join(sorted(names)) or None
