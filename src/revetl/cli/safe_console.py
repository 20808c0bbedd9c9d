"""Rich's console, with nothing on it that data could steer. Every console is made in `cli/options.py` and is this one.

Renderers escape values where they put them between tags; this is what holds where one forgets. Loaded where something
is printed, and not before: rich takes a while.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.segment import Segment

from revetl.safe_text import for_terminal_lines

if TYPE_CHECKING:
    from rich.console import ConsoleOptions, RenderableType


class SafeConsole(Console):
    """What rich itself sends to steer the terminal is apart from text (`Segment.control`, `Segment.style`)."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for text, style, control in super().render(renderable, options):
            if style is not None and style.link is not None:
                style = style.update_link(None)  # its address goes out as it is
            yield Segment(text if control else for_terminal_lines(text), style, control)
