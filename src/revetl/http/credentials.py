"""What may go into a header: a secret that came from a file often brings that file's line break."""

from __future__ import annotations


def header_value(text: str) -> str:
    """`text`, which may stand in a header. ValueError, without any of it, where it can't: RFC 9110 allows visible ASCII
    with blanks inside."""
    if any(c in "\r\n" for c in text):
        raise ValueError("holds a line break; a secret that is read from a file has to be trimmed")
    if text != text.strip():
        raise ValueError("begins or ends with a blank")
    if any(ord(c) < 32 or ord(c) == 127 for c in text):
        raise ValueError("holds a control character")
    if not text.isascii():
        raise ValueError("holds a letter that is not ASCII, so it was not copied as it is")
    return text
