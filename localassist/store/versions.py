"""The version of the schema in a database, and the way to the newest.

Alembic is loaded only when there is something to migrate: it takes a quarter of the time that a server may take to
start.
"""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text

from localassist.errors import ConfigurationError

_FOLDER: Final = Path(__file__).parent / "migrations"
_POSTGRES_LOCK: Final = 0x6C6F63616C  # "local": any number will do, if nobody else takes it
KNOWN: Final = tuple(sorted(path.stem[1:5] for path in (_FOLDER / "versions").glob("v[0-9][0-9][0-9][0-9]_*.py")))
"""The versions of the schema, as in the names of the migrations: `v0001_….py`."""
HEAD: Final = KNOWN[-1]


def read(conn: Connection) -> str | None:
    """Read the version of a database; None when it is empty."""
    if not inspect(conn).has_table("alembic_version"):
        return None
    version: str | None = conn.scalar(text("SELECT version_num FROM alembic_version"))
    return version


def refuse_unknown(version: str | None, *, where: str) -> None:
    """Make sure that this localassist knows `version`.

    Raises:
        ConfigurationError: it does not, so a newer one has written the database.
    """
    if version is not None and version not in KNOWN:
        raise ConfigurationError(
            f"The database {where} was written by a newer localassist (schema {version}; this one knows up to {HEAD}). "
            "Install that version again (pip install --upgrade localassist), or use another home."
        )


def upgrade(conn: Connection) -> None:
    """Migrate to the newest version inside the transaction of `conn`, which must be able to write.

    All of it is one transaction, so a process that dies in the middle leaves the version that was there.
    """
    if conn.dialect.name == "postgresql":
        conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _POSTGRES_LOCK})
    if read(conn) == HEAD:  # another process was faster
        return
    from alembic import command, config  # noqa: PLC0415 - see the module's docstring

    settings = config.Config()
    settings.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    settings.attributes["connection"] = conn
    command.upgrade(settings, "head")
