"""Fixtures for every test: the two databases."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import create_engine, text

from localassist.store.database import Database

POSTGRES = os.environ.get("LOCALASSIST_TEST_POSTGRES")  # noqa: TID251 - a setting of the tests, not of the product


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """The URL of an empty database, once for each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'localassist.db'}"
        return
    if POSTGRES is None:
        message = "LOCALASSIST_TEST_POSTGRES is not set: run the tests through `tests/postgres.sh run`."
        if os.environ.get("CI") == "true":  # noqa: TID251 - the same
            pytest.fail(message)
        pytest.skip(message)
    schema = f"test_{secrets.token_hex(8)}"  # each test has its own, also beside others in parallel
    await asyncio.to_thread(_execute, f"CREATE SCHEMA {schema}")
    joint = "&" if "?" in POSTGRES else "?"
    yield f"{POSTGRES}{joint}options={quote(f'-csearch_path={schema}')}"
    await asyncio.to_thread(_execute, f"DROP SCHEMA {schema} CASCADE")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A database with the newest schema, once for each kind."""
    db = Database(database_url)
    db.migrate()
    yield db
    await db.close()


def _execute(statement: str) -> None:
    assert POSTGRES is not None
    engine = create_engine(POSTGRES.replace("postgresql://", "postgresql+psycopg://", 1))
    with engine.begin() as conn:
        conn.execute(text(statement))
    engine.dispose()
