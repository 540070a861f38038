"""One SQLite file or one PostgreSQL database: transactions, and the schema's version.

The only module that knows which of the two it is. The work is done in threads: on SQLite one that writes and a few that
read, on PostgreSQL a few of each.

What a transaction wrote is there after the process was killed at any moment. After a loss of power SQLite may lack the
last moments before it, but is never damaged: it syncs at checkpoints (`synchronous=NORMAL`), not at every commit, which
would cost a disk's sync for every event of every run.
"""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import orjson
from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, StatementError

from localassist.errors import (
    APIError,
    BadRequestError,
    ConfigurationError,
    InternalServerError,
    MissingDependencyError,
)
from localassist.store import versions

__all__ = ["Connection", "Database", "is_alone", "is_writing"]

T = TypeVar("T")

_BUSY_TIMEOUT_MS: Final = 5_000
_RETRY_DELAYS_S: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, None)
_POSTGRES_WRITERS: Final = 4
_WRITING: Final = "localassist_writing"
_SQLITE_BUSY: Final = frozenset({5, 6})  # SQLITE_BUSY and SQLITE_LOCKED, the low byte of the extended codes
_POSTGRES_AGAIN: Final = frozenset({"40001", "40P01", "55P03"})  # serialization failure, deadlock, lock not available


def is_writing(conn: Connection) -> bool:
    """Tell whether the transaction was begun by `Database.write`."""
    return bool(conn.get_execution_options().get(_WRITING))


def is_alone(conn: Connection) -> bool:
    """Tell whether no other transaction can write while this one does, so that it need lock nothing."""
    return conn.dialect.name == "sqlite" and is_writing(conn)


class Database:
    """Transactions on one database, for one process."""

    def __init__(self, url: str, *, readers: int = 4) -> None:
        """Open `url`; nothing is read or made before the first use.

        Args:
            url: `sqlite:///PATH`, or `postgresql://user@host/name`.
            readers: how many reads may go on at once.

        Raises:
            ConfigurationError: `url` is not a URL, or of a database that is not supported.
        """
        self._url = _parse(url)
        self._sqlite = self._url.get_backend_name() == "sqlite"
        self.where = self._url.database if self._sqlite else self._url.render_as_string(hide_password=True)
        writers = 1 if self._sqlite else _POSTGRES_WRITERS
        self._write_engine = self._engine(writers, writing=True)
        self._read_engine = self._engine(readers, writing=False)
        self._writers = ThreadPoolExecutor(writers, thread_name_prefix="database-write")
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="database-read")

    @classmethod
    def sqlite(cls, path: Path, *, readers: int = 4) -> Self:
        """Open the SQLite database at `path`, which `migrate` makes when it is not there."""
        return cls(URL.create("sqlite", database=str(path)).render_as_string(), readers=readers)

    async def write(self, fn: Callable[[Connection], T]) -> T:
        """Run `fn` in a transaction of its own and commit what it did; an exception undoes all of it.

        `fn` runs in a thread and may run again from the start when the database was contended, so it changes
        nothing but the database. Cancelling the caller does not undo a write that has begun.

        Raises:
            BadRequestError: the parent of a new object was deleted meanwhile, or a value cannot be stored.
            InternalServerError: the database cannot be written: a full disk, missing rights, a lost connection.
        """
        return await self._run(self._writers, self._write_engine, fn)

    async def read(self, fn: Callable[[Connection], T]) -> T:
        """Run `fn` in a thread, in a transaction that may only read.

        Raises:
            BadRequestError: a value cannot be looked up, such as a NUL in an id on PostgreSQL.
            InternalServerError: the database cannot be read.
        """
        return await self._run(self._readers, self._read_engine, fn)

    def migrate(self) -> None:
        """Bring the schema up to this version of localassist; does next to nothing when it is there already.

        Several processes may do so at once: one works, the others wait for it.

        Raises:
            ConfigurationError: the database cannot be opened, or was written by a newer localassist.
        """
        try:
            if self._sqlite and self._url.database:
                _make_file(Path(self._url.database))
            with self._read_engine.begin() as conn:
                current = versions.read(conn)
            if current == versions.HEAD:
                return
            versions.refuse_unknown(current, where=str(self.where))
            if self._sqlite:
                self._use_write_ahead_log()
            with self._write_engine.begin() as conn:
                versions.upgrade(conn)
        except (OSError, DBAPIError) as error:
            raise ConfigurationError(f"The database {self.where} cannot be used: {_words(error)}") from error

    async def close(self) -> None:
        """Let the transactions that have begun end, then close all connections."""
        for pool in (self._writers, self._readers):
            await asyncio.to_thread(pool.shutdown)
        self._write_engine.dispose()
        self._read_engine.dispose()

    async def _run(self, pool: ThreadPoolExecutor, engine: Engine, fn: Callable[[Connection], T]) -> T:
        def transact() -> T:
            with engine.begin() as conn:
                return fn(conn)

        loop = asyncio.get_running_loop()
        for delay_s in _RETRY_DELAYS_S:
            try:
                return await loop.run_in_executor(pool, transact)
            except IntegrityError as error:
                if not _lacks_parent(error):
                    raise
                raise BadRequestError("The object that this belongs to was deleted meanwhile.") from error
            except DBAPIError as error:
                if delay_s is None or not _contended(error):
                    raise self._explain(error) from error
            except (StatementError, UnicodeError) as error:  # the former is a wrapper on SQLite
                cause = error.orig if isinstance(error, StatementError) else error
                if not isinstance(cause, UnicodeError):
                    raise
                raise BadRequestError(f"A value is not valid Unicode text: {cause}") from error
            await asyncio.sleep(delay_s)
        raise AssertionError("unreachable: the last delay is None")

    def _explain(self, error: DBAPIError) -> APIError:
        words = _words(error)
        state = getattr(error.orig, "sqlstate", None)
        if state is not None and state.startswith("22"):  # data exception
            return BadRequestError(f"A value cannot be stored: {words}")
        if "NUL" in words:
            return BadRequestError("A value holds the character NUL (U+0000), which cannot be used here.")
        if state == "53100" or "disk is full" in words:
            return InternalServerError(
                f"The disk that holds {self.where} is full. Nothing of this request was stored, and nothing stored "
                "before is lost. Free some space and try again."
            )
        if state == "25006" or "readonly database" in words:
            return InternalServerError(
                f"The database {self.where} cannot be written: it is read-only. Nothing of this request was stored."
            )
        return InternalServerError(f"The database {self.where} failed: {words}")

    def _engine(self, size: int, *, writing: bool) -> Engine:
        # Each transaction is ended before its connection is given back, so on SQLite nothing is left to be reset.
        options: dict[str, Any] = {"pool_reset_on_return": None} if self._sqlite else {"pool_pre_ping": True}
        try:
            engine = create_engine(
                self._url,
                poolclass=QueuePool,
                pool_size=size,
                max_overflow=0,
                json_serializer=_to_json,
                json_deserializer=orjson.loads,
                execution_options={_WRITING: writing},
                **options,
            )
        except ModuleNotFoundError as error:
            raise MissingDependencyError(
                "psycopg", purpose="PostgreSQL", install="pip install 'localassist[postgres]'"
            ) from error
        if self._sqlite:
            _prepare_sqlite(engine, writing=writing)
        elif not writing:
            engine = engine.execution_options(postgresql_readonly=True)
        return engine

    def _use_write_ahead_log(self) -> None:
        # Outside of any transaction, as SQLite asks; the mode is a property of the file and stays.
        raw = self._write_engine.raw_connection()
        try:
            raw.cursor().execute("PRAGMA journal_mode=WAL")
        finally:
            raw.close()


def _make_file(path: Path) -> None:
    """Make a new database readable for its owner alone; SQLite gives the files beside it the same mode."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigurationError(f"database_url {url!r} is not a URL. {_SUPPORTED}") from error
    backend = parsed.get_backend_name()
    if backend in {"postgresql", "postgres"}:
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite" or not parsed.database or parsed.database == ":memory:":
        shown = parsed.render_as_string(hide_password=True)
        raise ConfigurationError(f"database_url {shown!r} cannot be used. {_SUPPORTED}")
    return parsed


_SUPPORTED: Final = "Give postgresql://USER:PASSWORD@HOST/NAME or sqlite:///PATH."


def _to_json(value: object) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError as error:  # what we keep is JSON already, so it can only be half a surrogate pair
        raise UnicodeError(str(error)) from error


def _prepare_sqlite(engine: Engine, *, writing: bool) -> None:
    begin = "BEGIN IMMEDIATE" if writing else "BEGIN"

    def connected(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions begin where we say, not where the driver guesses
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA synchronous=NORMAL")
        if not writing:
            cursor.execute("PRAGMA query_only=ON")
        cursor.close()

    def do_begin(connection: Any) -> None:
        connection.execute(begin)

    event.listen(engine, "connect", connected)
    # The driver's own call: the event "begin" comes without the driver's connection, and without its errors wrapped.
    engine.dialect.do_begin = do_begin  # type: ignore[assignment, method-assign]  # this dialect is this engine's alone


def _contended(error: DBAPIError) -> bool:
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in _SQLITE_BUSY
    return getattr(error.orig, "sqlstate", None) in _POSTGRES_AGAIN


def _lacks_parent(error: IntegrityError) -> bool:
    return "FOREIGN KEY" in str(error.orig) or getattr(error.orig, "sqlstate", None) == "23503"


def _words(error: Exception) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return str(cause).strip().split("\n", maxsplit=1)[0]
