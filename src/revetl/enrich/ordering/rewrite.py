"""A waterfall's file with its stages in another order: whole lines are moved, so comments and spelling stay.

Comments that stand directly above a stage move with it. A stage that is left out stays as a comment, to be put back by
hand. What was written is parsed again and has to mean exactly the change; a file that can't be edited like this is
refused, not guessed at.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from revetl.documents import Document, read_yaml
from revetl.errors import ConfigError

LEFT_OUT = "Left out by revetl tune. To ask it again, move it to its place and take the marks off."
_Block = list[str]


@dataclass(frozen=True, slots=True)
class WaterfallRewrite:
    """`before` and `after` are the file's whole text."""

    path: Path
    before: str
    after: str

    def diff(self, root: Path) -> str:
        """Unified, with paths from `root` where the file lies below it."""
        name = str(self.path.relative_to(root)) if self.path.is_relative_to(root) else str(self.path)
        lines = difflib.unified_diff(
            self.before.splitlines(keepends=True), self.after.splitlines(keepends=True), f"a/{name}", f"b/{name}"
        )
        return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)

    def apply(self) -> None:
        """Replaces the file in one step. ConfigError where it was changed since it was read. Safe to repeat."""
        if _text(self.path) not in (self.before, self.after):
            raise ConfigError(f"{self.path} was changed meanwhile: nothing was written")
        draft = self.path.with_name(f".{self.path.name}.revetl")
        draft.write_bytes(self.after.encode())
        draft.chmod(self.path.stat().st_mode & 0o777)
        os.replace(draft, self.path)


def find(directory: Path, waterfall: str) -> Path:
    """The file of the folder that declares the waterfall. ConfigError where there is none."""
    for path in sorted([*directory.glob("*.yml"), *directory.glob("*.yaml")]):
        data = read_yaml(path).data
        if isinstance(data, dict) and data.get("name") == waterfall:
            return path
    raise ConfigError(f"no file of {directory} declares the waterfall {waterfall!r}")


def reorder(path: Path, order: Sequence[str]) -> WaterfallRewrite:
    """The stages of `path` with the providers of `order` first, in that order; the others become comments.

    ConfigError where the stages are not written one per block of lines, or where the text would come to mean anything
    else than that.
    """
    document = read_yaml(path)
    text = _text(path)
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    first, blocks, end = _blocks(document, lines)
    stages = document.data["stages"]
    by_provider = {stage["provider"]: block for stage, block in zip(stages, blocks, strict=True)}
    left_out = [name for name in by_provider if name not in order]
    body = [line for name in order for line in by_provider[name]]
    if left_out:
        indent = _indent(_dash_line(blocks[0]))
        body.append(f"{' ' * indent}# {LEFT_OUT}\n")
        body += [_marked(line, indent) for name in left_out for line in by_provider[name]]
    after = "".join([*lines[:first], *body, *lines[end:]])
    wanted = {**document.data, "stages": [s for name in order for s in stages if s["provider"] == name]}
    if _meaning(after) != wanted:
        raise ConfigError(
            document.problem(("stages",), "these stages can't be moved line by line", "Move them by hand.")
        )
    return WaterfallRewrite(path, text, after)


def _blocks(document: Document, lines: Sequence[str]) -> tuple[int, list[_Block], int]:
    """Index of the first line of the stages, one block per stage, index after the last."""
    count = len(document.data["stages"])
    starts = [_start(document, lines, i) for i in range(count)]
    key = document.lines[("stages",)] - 1
    after = [line - 1 for place, line in document.lines.items() if len(place) == 1 and line - 1 > key]
    end = min(after, default=len(lines))
    depth = _indent(_dash_line(lines[starts[0] :]))
    while end > starts[-1] + 1 and _is_filler(lines[end - 1], depth):
        end -= 1
    edges = [*starts, end]
    if edges != sorted(set(edges)):
        raise _refused(document)
    return starts[0], [list(lines[a:b]) for a, b in pairwise(edges)], end


def _start(document: Document, lines: Sequence[str], i: int) -> int:
    """Of stage i: its dash, or the first of the comments that stand directly above it."""
    at = document.lines[("stages", i)] - 1
    while at >= 0 and not re.match(r"\s*-(\s|$)", lines[at]):
        at -= 1
    if at < document.lines[("stages",)]:
        raise _refused(document)
    depth = _indent(lines[at])
    while lines[at - 1].lstrip().startswith("#") and _indent(lines[at - 1]) == depth:
        at -= 1
    return at


def _refused(document: Document) -> ConfigError:
    message = "only stages that are written as one block of lines each can be moved"
    return ConfigError(document.problem(("stages",), message, "Write each as '- provider: …' on lines of its own."))


def _dash_line(block: Sequence[str]) -> str:
    return next(line for line in block if not line.lstrip().startswith("#"))


def _is_filler(line: str, depth: int) -> bool:
    """Blank, or a comment that belongs to what follows the stages."""
    return not line.strip() or (line.lstrip().startswith("#") and (_indent(line) < depth or depth == 0))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _marked(line: str, indent: int) -> str:
    return f"{line[:indent]}# {line[indent:]}" if line.strip() else line


def _meaning(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None


def _text(path: Path) -> str:
    return path.read_bytes().decode()
