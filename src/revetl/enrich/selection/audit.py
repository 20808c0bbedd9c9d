"""Which records are asked of every provider, to learn what the order hides.

A waterfall asks a later provider only what the earlier ones missed, so the ledger of one order can't say what another
order would find. A share of the records, drawn by the hash of the key and so the same in every run, is asked of all.
"""

from __future__ import annotations

_DIGITS = 8


def sampled(key: str, share: float, purpose: str = "audit") -> str:
    """SQL condition over `key`, a SQL expression of text: whether the record is one of the share. A greater share holds
    all records of a smaller one; shares for different purposes have nothing to do with each other."""
    if share <= 0:
        return "1 = 0"
    if share >= 1:
        return "1 = 1"
    limit = f"{round(share * 16**_DIGITS):0{_DIGITS}x}"
    return f"substr(md5('{purpose}:' || {key}), 1, {_DIGITS}) < '{limit}'"
