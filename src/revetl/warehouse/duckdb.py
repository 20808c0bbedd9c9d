"""The embedded warehouse. One file, one process at a time: whoever runs dbt on it closes this connection first."""

from __future__ import annotations

import errno
import logging
import os
import re
import stat
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import duckdb

from revetl.errors import (
    WarehouseBusy,
    WarehouseConflict,
    WarehouseDenied,
    WarehouseError,
    WarehouseFull,
    WarehouseOutOfMemory,
)
from revetl.model import Relation, Scalar
from revetl.private_files import private_umask
from revetl.warehouse.base import Column, Kind, TypedResults, by_table
from revetl.warehouse.memory import is_repeated_when_short
from revetl.warehouse.sql import ident, literal, table

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

# What a hash table of some 100,000 groups takes, on every core; and a MiB for each column that is read at once: a block
# of 256 KiB on each of a few cores.
_LEAN_MIB = 24


# What DuckDB may hold of its tables and of statements under way; past it, it spills beside its file. Its own default is
# four fifths of the machine, which a full push of a large table fills. Each thread works on buffers of its own.
_MEMORY_MIB = 64
_MEMORY_MIB_A_THREAD = 48
_MEMORY_NAMES = {"memory_limit", "max_memory"}
_IN_MIB = {"bytes": 2**-20, "KiB": 2**-10, "MiB": 1, "GiB": 2**10, "TiB": 2**20}

# What a statement means must not depend on the machine or the profile. Global, so that cursors have them too.
_SETTINGS = {
    "TimeZone": "UTC",
    "default_order": "ASC",
    "default_null_order": "NULLS_LAST",
    "integer_division": "false",
}


class DuckDBWarehouse(TypedResults):
    """`path` is the database file, or ":memory:". While it is open the process's umask is 077: the file that is made,
    its log and what is spilled beside it hold customers."""

    dialect = "duckdb"
    repeatable_reads = True

    def __init__(
        self,
        path: Path | str,
        *,
        state_schema: str = "revetl",
        read_only: bool = False,
        threads: int | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """`settings` are DuckDB's, by names that are plain words; what `_SETTINGS` holds stands above them.

        Without a `memory_limit` among them it is 64 MiB and 48 MiB for each thread, so that a table's size is spilled
        and not held. A statement that can't work in that is given twice as much, and so on, up to DuckDB's own default.
        A transaction can't be begun again from here: it has all from its start, unless its caller does that
        (`repeated_when_short`). One of a `memory_limit` of the settings is never given more."""
        self.state_schema = state_schema
        self.folder = path.absolute().parent if isinstance(path, Path) and _spills(path) else None
        self._in_transaction = False
        self._lean = False
        self._short: WarehouseOutOfMemory | None = None  # what ended the transaction that is open
        self._readers: list[pa.RecordBatchReader] = []
        if isinstance(path, Path) and not read_only:
            _refuse_where_not_allowed(path)
        # DuckDB makes its log and its spill files anew again and again, each by the umask of that moment.
        private_umask.enter()
        self._leave_umask = weakref.finalize(self, private_umask.leave)
        try:
            self._db = duckdb.connect(str(path), read_only=read_only)
            if threads:
                self._db.execute(f"SET threads = {int(threads)}")
            for name, value in (settings or {}).items():
                self._db.execute(f"SET {name} = {literal(value)}")
            self._memory = self._most_memory = self._memory_mib()
            limits = [value for name, value in (settings or {}).items() if name.lower() in _MEMORY_NAMES]
            self._given_memory = limits[-1] if limits else None
            if self._given_memory is None and _spills(path):
                cores = int(self._db.execute("SELECT current_setting('threads')").fetchall()[0][0])
                self._memory = min(_MEMORY_MIB + _MEMORY_MIB_A_THREAD * cores, self._most_memory)
                self._limit_memory(self._memory)
            for name, value in _SETTINGS.items():
                self._db.execute(f"SET GLOBAL {name} = '{value}'")
                self._db.execute(f"SET {name} = '{value}'")  # over what a profile set for this session
            # Long statements would draw a bar over our own output, even where that is a JSON document.
            self._db.execute("SET enable_progress_bar = false")
            # A plan orders itself by its ordinal; insertion order costs memory that grows with the table.
            self._db.execute("SET preserve_insertion_order = false")
            # Folding the log into the file at every 16 MB, the default, costs a push a tenth of its time.
            self._db.execute("SET checkpoint_threshold = '32MB'")
        except duckdb.Error as e:
            self._leave_umask()
            raise _translated(e, path) from None

    def execute(self, sql: str, params: Sequence[Scalar] = ()) -> None:
        self._run(sql, params)

    def rows(self, sql: str, params: Sequence[Scalar] = ()) -> list[tuple[Scalar, ...]]:
        return cast("list[tuple[Scalar, ...]]", self._run(sql, params).fetchall())

    def stream(self, sql: str, params: Sequence[Scalar] = (), *, batch_rows: int = 10_000) -> Iterator[pa.RecordBatch]:
        # A cursor of its own: the result stays open while checkpoints write through the main connection. It sees
        # what was committed when it started.
        given = False
        while True:
            cursor = self._db.cursor()
            reader: pa.RecordBatchReader | None = None
            try:
                relation: Any = cursor.sql(sql, params=list(params)) if params else cursor.sql(sql)
                reader = relation.to_arrow_reader(batch_rows)
                del relation
                self._readers.append(reader)
                for batch in reader:
                    if batch.num_rows:
                        given = True
                        yield batch
                return
            except duckdb.OutOfMemoryException as e:
                # Begun again, it would give the same rows twice, or others.
                if given or self._in_transaction or not self._given_more():
                    raise _translated(e) from None
            except duckdb.Error as e:
                raise _translated(e) from None
            finally:
                if reader is not None:
                    reader.close()
                    self._readers.remove(reader)
                cursor.close()

    def append(self, target: Relation, data: pa.Table) -> None:
        if not data.num_rows:
            return
        self._db.register("_revetl_append", data)
        try:
            self._run(f"INSERT INTO {table(target)} BY NAME SELECT * FROM _revetl_append")
        finally:
            self._db.unregister("_revetl_append")

    @contextmanager
    def transaction(self, *, ddl: bool = False) -> Iterator[None]:
        if self._in_transaction:
            raise RuntimeError("transactions do not nest")
        all_memory = self._memory < self._most_memory and not (self._lean or is_repeated_when_short())
        if all_memory:
            self._limit_memory(self._most_memory)
        self._run("BEGIN")
        self._in_transaction = True
        try:
            yield
            self._run("COMMIT")
        except BaseException:
            # A failed COMMIT has already rolled back; a second ROLLBACK then has nothing to do.
            with suppress(duckdb.TransactionException):
                self._db.execute("ROLLBACK")
            if self._short is not None:
                self._short.repeatable = not all_memory and self._given_more()
            raise
        finally:
            self._in_transaction, self._short = False, None
            if all_memory:
                self._take_back()

    def columns(self, relation: Relation) -> list[Column]:
        # DESCRIBE costs a fifth of a look into the catalogue, but its failure would end an open transaction.
        if self._in_transaction:
            found = self.rows(
                "SELECT column_name, data_type FROM duckdb_columns()"
                " WHERE schema_name = ? AND table_name = ? AND database_name = coalesce(?, current_database())"
                " ORDER BY column_index",
                [relation.schema, relation.name, relation.database],
            )
        else:
            try:
                described = self._db.execute(f"DESCRIBE {table(relation)}").fetchall()
            except duckdb.CatalogException:
                return []
            except duckdb.Error as e:
                raise _translated(e) from None
            found = [row[:2] for row in described]
        return [Column(str(name), str(type_)) for name, type_ in found]

    def tables(self, schema: str) -> dict[str, list[str]]:
        return by_table(
            self.rows(
                "SELECT table_name, column_name FROM duckdb_columns()"
                " WHERE schema_name = ? AND database_name = current_database() ORDER BY table_name, column_index",
                [schema],
            )
        )

    def kind(self, relation: Relation) -> Kind | None:
        # information_schema.tables would describe every table and view of the database, columns and all.
        place = "schema_name = ? AND database_name = coalesce(?, current_database())"
        found = self.rows(
            f"SELECT 'table' FROM duckdb_tables() WHERE table_name = ? AND {place}"
            f" UNION ALL SELECT 'view' FROM duckdb_views() WHERE view_name = ? AND {place}",
            [relation.name, relation.schema, relation.database] * 2,
        )
        return cast(Kind, found[0][0]) if found else None

    def scratch(self, name: str) -> Relation:
        return Relation("main", name, "temp")

    def lean(self, columns: int) -> AbstractContextManager[None]:
        return self._limited_to(_LEAN_MIB + columns)

    @contextmanager
    def _limited_to(self, mebibytes: int) -> Iterator[None]:
        self._limit_memory(mebibytes)
        self._lean = True
        try:
            yield
        finally:
            self._lean = False
            if self._memory < self._most_memory:
                self._limit_memory(self._memory)
            else:  # by its own words: what DuckDB tells of it is rounded
                given = self._given_memory
                self._run("RESET memory_limit" if given is None else f"SET memory_limit = {literal(given)}")

    def _take_back(self) -> None:
        """What a transaction had, once it has ended. It is committed by now, so nothing may be said to have failed."""
        try:
            self._limit_memory(self._memory)
        except WarehouseOutOfMemory:  # something that is read beside it holds more
            log.info("DuckDB can't let go of its memory; its limit stays at %.0f MiB", self._most_memory)
            self._memory = self._most_memory

    def _limit_memory(self, mebibytes: float) -> None:
        """WarehouseOutOfMemory where more is held that can't be let go."""
        try:
            self._db.execute(f"SET memory_limit = '{mebibytes:.1f} MiB'")
        except duckdb.Error as e:
            raise _translated(e) from None

    def _memory_mib(self) -> float:
        """The limit that is set: DuckDB tells it with a unit and one decimal."""
        number, unit = str(self._db.execute("SELECT current_setting('memory_limit')").fetchall()[0][0]).split()
        return float(number) * _IN_MIB[unit]

    def _given_more(self) -> bool:
        """Twice the memory from now on; False where there is no more to give."""
        if self._lean or self._memory >= self._most_memory:
            return False
        self._memory = min(2 * self._memory, self._most_memory)
        log.info("DuckDB's memory limit did not suffice; it is %.0f MiB now", self._memory)
        self._limit_memory(self._memory)
        return True

    def close(self) -> None:
        # A result that was left half-read keeps the file open: the next to open it in this process would wait for ever.
        for reader in self._readers:
            reader.close()
        self._db.close()
        self._leave_umask()

    def _run(self, sql: str, params: Sequence[Scalar] = ()) -> Any:
        while True:
            try:
                return self._db.execute(sql, list(params)) if params else self._db.execute(sql)
            except duckdb.OutOfMemoryException as e:
                if self._in_transaction:  # which is aborted; nothing can be set before it has ended
                    self._short = WarehouseOutOfMemory(_first_line(e))
                    raise self._short from None
                if not self._given_more():
                    raise _translated(e) from None
            except duckdb.Error as e:
                raise _translated(e) from None


def _spills(path: Path | str) -> bool:
    """Whether there is a folder beside it to spill to: not for a database in memory, or one that is a service."""
    return not str(path).startswith((":memory:", "md:", "motherduck:"))


def create_schema(warehouse: DuckDBWarehouse) -> None:
    warehouse.execute(f"CREATE SCHEMA IF NOT EXISTS {ident(warehouse.state_schema)}")


_LOCKED = re.compile(r'IO Error: Could not set lock on file "')
_HOLDER = re.compile(r"held in (.+?) \(PID (\d+)\)")
# The system's own word, which DuckDB puts at the very end: it hands no number on. A fatal error quotes the first one.
_FULL = re.compile(
    ": (?:" + "|".join(re.escape(os.strerror(n)) for n in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)) + ")$"
)
_QUOTED_VALUE = re.compile(r"(?<=')[^']*(?=')")


def _translated(e: duckdb.Error, path: Path | str | None = None) -> WarehouseError:
    """The driver's message without its quoted parts, which may be values of a customer. DuckDB has no codes: its class
    counts, and how its text begins, never a word further on, which may come from a path or a name."""
    text = _first_line(e)
    if isinstance(e, duckdb.OutOfMemoryException) and path is None:
        return WarehouseOutOfMemory(text)
    if isinstance(e, duckdb.ConstraintException | duckdb.ConversionException):
        text = _QUOTED_VALUE.sub("…", text)
    said = text.rstrip('"') if isinstance(e, duckdb.FatalException) else text
    if _FULL.search(said):
        return WarehouseFull(text if path is None else f"{path} can't be opened: {text}")
    if path is not None:
        return _not_opened(e, text, path)
    if isinstance(e, duckdb.TransactionException) and "conflict" in text.partition('"')[0].lower():
        return WarehouseConflict(text)
    return WarehouseError(text)


def _first_line(e: duckdb.Error) -> str:
    return str(e).splitlines()[0]


def _not_opened(e: duckdb.Error, text: str, path: Path | str) -> WarehouseError:
    if isinstance(e, duckdb.IOException) and _LOCKED.match(text):
        holder = _HOLDER.search(text)
        who = f"process {holder[2]} ({_command_of(int(holder[2])) or holder[1]})" if holder else "another process"
        return WarehouseBusy(
            f"{path} is open in {who}. While one process writes, DuckDB lets no other in, not even to read: wait for it"
            " (--wait 10m), or end it."
        )
    return WarehouseError(f"{path} can't be opened: {text}")


def _command_of(pid: int) -> str | None:
    """`revetl sync`, `dbt`: the program and its first word. What follows may name a person, so it is not shown. None
    where it is another program, or the system does not say."""
    try:
        words = [os.fsdecode(word) for word in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") if word]
    except OSError:
        return None
    for place, word in enumerate(words):
        name = Path(word).name
        if "dbt.cli.main" in word or name == "dbt":
            return "dbt"
        if name == "revetl":
            following = words[place + 1] if place + 1 < len(words) else ""
            return f"revetl {following}" if following.isalpha() else "revetl"
    return None


def _refuse_where_not_allowed(path: Path) -> None:
    """WarehouseDenied, or WarehouseError where there is no folder for it. Before anything is opened: DuckDB itself
    would open a file whose log it can't write, and fail at the first change."""
    try:
        is_folder = stat.S_ISDIR(path.parent.stat().st_mode)
        is_there = path.exists()
    except PermissionError:
        raise WarehouseDenied(f"{path}: this user may not look there") from None
    except FileNotFoundError:
        is_folder = is_there = False
    if not is_folder:
        raise WarehouseError(f"{path}: no such directory to keep the DuckDB file in")
    if is_there and not os.access(path, os.R_OK | os.W_OK):
        raise WarehouseDenied(f"{path}: this user may not read and write it")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise WarehouseDenied(f"{path.parent}: this user may not write there, and DuckDB keeps a log beside its file")
