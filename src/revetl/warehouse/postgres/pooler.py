"""Is there a pooler between us and the server, and does it give our session to others between two transactions.

A run keeps temporary tables and held cursors from one transaction to the next, so pooling by transaction breaks it. It
would also hand our time zone, role and search path to strangers. So it is recognised before anything of the session is
set.

A pooler makes up the process number that a client is told when it connects, since that is the key to cancel by; the
server itself says which process it is. Where the two agree nobody stands between. Where they do not, a second
connection tells the mode: pooling by session, it never meets our process while we are there.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg
from psycopg.pq import ExecStatus

# A quiet pool lends the server that came back last, or the one that has rested longest: this many turns meet ours.
_LOOKS = 20
_PATIENCE_S = 2.0
_PROCESS = b"SELECT pg_backend_pid()"


def server_process(connection: psycopg.Connection[Any]) -> int:
    """The server's process that answers now. psycopg.Error as ever."""
    ((process,),) = connection.execute(_PROCESS).fetchall()
    return int(process)


def stands_between(connection: psycopg.Connection[Any]) -> bool:
    """Whether somebody else answers in the server's place. One that passes the server's numbers on, as a plain proxy
    of TCP does, passes its sessions on as well."""
    return server_process(connection) != connection.info.backend_pid


def pools_by_transaction(connection: psycopg.Connection[Any], another: Callable[[], psycopg.Connection[Any]]) -> bool:
    """Only where one stands between. `another` opens a second connection of the same user to the same database.

    False also where it can't be told, since a pool with no free server lets the second connection wait: with pooling
    by session that is how it has to be. A change of the process is then seen by whoever looks at it later.
    """
    mine = server_process(connection)
    try:
        second = another()
    except psycopg.Error:
        return False
    with closing(second):
        for _ in range(_LOOKS):
            theirs = _process_within(second, _PATIENCE_S)
            if theirs is None:
                return False
            if theirs == mine or server_process(connection) != mine:
                return True
    return False


def _process_within(connection: psycopg.Connection[Any], seconds: float) -> int | None:
    """None where no server was free for so long. Past psycopg, which would wait for as long as the pooler does."""
    link = connection.pgconn
    link.send_query(_PROCESS)
    deadline = time.monotonic() + seconds
    while link.is_busy():
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([link.socket], [], [], left)[0]:
            return None
        try:
            link.consume_input()
        except psycopg.Error:
            return None
    answer = link.get_result()
    while link.get_result() is not None:
        pass
    if answer is None or answer.status != ExecStatus.TUPLES_OK:
        return None
    return int(answer.get_value(0, 0) or 0)
