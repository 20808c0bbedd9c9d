"""Prints how large each connector is: files, lines of code (without comments, docstrings and blank lines), all lines,
and the median file: `python scripts/connector_sizes.py`."""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path
from statistics import median

DESTINATIONS = Path(__file__).resolve().parents[1] / "src/revetl/destinations"
_NO_CODE = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)


def code_lines(text: str) -> int:
    """Lines on which something stands that is neither a comment nor a docstring."""
    kept = set[int]()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _NO_CODE:
            kept.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            kept.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(kept)


def main() -> None:
    print(f"{'connector':<12}{'files':>6}{'code':>7}{'lines':>7}{'median file':>13}")
    for folder in sorted(f for f in DESTINATIONS.iterdir() if (f / "connector.py").exists()):
        texts = [file.read_text("utf-8") for file in folder.glob("*.py")]
        lines = [len(text.splitlines()) for text in texts]
        code = sum(map(code_lines, texts))
        print(f"{folder.name:<12}{len(texts):>6}{code:>7}{sum(lines):>7}{median(lines):>13.0f}")


if __name__ == "__main__":
    main()
