"""What a YAML file may cost, seen before anything is made of it.

The parser calls itself for each level, and ends the process when its stack does; a few lines of aliases stand for
billions of values. The parser's events come one after the other, so here they are counted and nothing is written out.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from revetl.errors import ConfigError, Problem

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

MOST_LEVELS = 100
MOST_VALUES = 200_000
MOST_ALIASED = 50_000  # values that aliases stand for
_MOST_ANCHORS = 10_000
_MOST_TAG_HANDLES = 100  # libyaml compares each with each
_TAG_HANDLE = re.compile(r"^%TAG\b", re.MULTILINE)


def check_size(text: str, path: Path) -> None:
    """ConfigError at the line where the text is more than a file of ours can be. A syntax error leaves as PyYAML's."""

    def refused(message: str, event: Any) -> ConfigError:
        line = event.start_mark.line + 1 if event.start_mark else None
        return ConfigError(Problem(f"not valid YAML: {message}", path, line))

    handles = [found.start() for found in _TAG_HANDLE.finditer(text)]
    if len(handles) > _MOST_TAG_HANDLES:
        line = text.count("\n", 0, handles[_MOST_TAG_HANDLES]) + 1
        raise ConfigError(Problem(f"not valid YAML: more than {_MOST_TAG_HANDLES} %TAG lines", path, line))
    values = aliased = 0  # so far, each alias with all that it stands for
    sizes: dict[str, int] = {}  # anchor → values that it stands for
    open_: list[tuple[str | None, int]] = []  # of each collection around: its anchor, and the values before it
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_.pop()
            if anchor is not None:
                sizes[anchor] = values - before
            continue
        if isinstance(event, yaml.DocumentEndEvent):
            return  # there is one to a file; whoever reads it says so
        if not isinstance(event, yaml.NodeEvent):
            continue
        if isinstance(event, yaml.AliasEvent):
            size = sizes.get(str(event.anchor), 1)  # what is not closed yet holds itself: that is found when it is read
            values, aliased = values + size, aliased + size
            if aliased > MOST_ALIASED:
                raise refused(f"its aliases stand for more than {MOST_ALIASED:,} values", event)
        else:
            values += 1
            if event.anchor is not None:
                sizes[event.anchor] = 1
                if len(sizes) > _MOST_ANCHORS:
                    raise refused(f"more than {_MOST_ANCHORS:,} anchors", event)
        if values > MOST_VALUES:
            raise refused(f"more than {MOST_VALUES:,} values", event)
        if isinstance(event, yaml.CollectionStartEvent):
            open_.append((event.anchor, values - 1))
            if len(open_) > MOST_LEVELS:
                raise refused(f"nested in more than {MOST_LEVELS} levels", event)
