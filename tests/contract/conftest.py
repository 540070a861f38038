"""The worlds: the unmodified SDK against the engine in this process, and against a server behind a socket."""

import asyncio
import os
import secrets
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import openai
import pytest
from sqlalchemy import create_engine, text

import localassist
from tests.contract.published import DOCUMENT, Exchange, Judge, document, watch
from tests.scripted.server import ScriptedServer, error

POSTGRES = os.environ.get("LOCALASSIST_TEST_POSTGRES")  # noqa: TID251 - a setting of the tests, not of the product
WORLDS = [
    "in process",
    "over a socket",
    pytest.param("in process, postgres", marks=pytest.mark.postgres),
    pytest.param("over a socket, postgres", marks=pytest.mark.postgres),
]


@dataclass
class World:
    """One engine and the clients of it."""

    script: ScriptedServer
    home: Path
    url: str | None

    def client(self) -> openai.OpenAI:
        if self.url is None:
            return localassist.OpenAI(home=self.home)
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key="any")

    def async_client(self) -> openai.AsyncOpenAI:
        if self.url is None:
            return localassist.AsyncOpenAI(home=self.home)
        return openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key="any")


@pytest.fixture(scope="session", params=WORLDS)
def opened_world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = tmp_path_factory.mktemp("home")
    with ScriptedServer() as script, database_of(request.param) as database_url:
        chosen: dict[str, Any] = {
            "home": home,
            "model": "scripted",
            "model_base_url": script.base_url,
            "database_url": database_url,
        }
        if request.param.startswith("in process"):
            with localassist.OpenAI(**{k: v for k, v in chosen.items() if v is not None}):
                yield World(script, home, None)
        else:
            with served(home, script.base_url, database_url) as url:
                yield World(script, home, url)


@pytest.fixture
def world(opened_world: World) -> World:
    """A world whose model's script is empty."""
    opened_world.script.requests.clear()
    opened_world.script.always(error(500, "The script has no reply left."))
    return opened_world


@pytest.fixture
def script(world: World) -> ScriptedServer:
    return world.script


@pytest.fixture
def client(world: World, seen: list[Exchange]) -> Iterator[openai.OpenAI]:
    with world.client() as client:
        watch(client, seen)
        yield client


@pytest.fixture
async def async_client(world: World, seen: list[Exchange]) -> AsyncIterator[openai.AsyncOpenAI]:
    client = await asyncio.to_thread(world.async_client)
    async with client:
        watch(client, seen)
        yield client


@pytest.fixture(scope="session")
def judge() -> Judge | None:
    """The published document, where it is at hand; `test_published_document.py` insists on it."""
    return Judge(document()) if DOCUMENT.exists() else None


@pytest.fixture
def seen(judge: Judge | None) -> Iterator[list[Exchange]]:
    """What the clients of a test were answered; in the end all of it must follow the published document."""
    seen: list[Exchange] = []
    yield seen
    if judge is not None:
        known = [e for e in seen if judge.operation(e) is not None or e.status != 200]
        assert [fault for exchange in known for fault in judge.faults(exchange)] == []


@contextmanager
def served(
    home: Path, model_url: str, database_url: str | None, *, environment: dict[str, str] | None = None
) -> Iterator[str]:
    """The server of `localassist serve` in a process of its own; the URL it answers under."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "localassist", "serve", "--home", str(home), "--port", str(port)]
    command += ["--model", "scripted", "--model-base-url", model_url]
    variables = os.environ | (environment or {})  # noqa: TID251 - a child's
    if database_url is not None:
        variables["LOCALASSIST_DATABASE_URL"] = database_url
    process = subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(url, process)
        yield url
    finally:
        process.terminate()
        _, complaints = process.communicate(timeout=30)
    assert process.returncode == 0, complaints.decode()


def wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    pause = threading.Event()
    for _ in range(600):
        if process.poll() is not None:
            assert process.stderr is not None
            pytest.fail(f"The server ended: {process.stderr.read().decode()}")
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):
                return
        except OSError:
            pause.wait(0.05)
    pytest.fail("The server did not answer within 30 seconds.")


@contextmanager
def database_of(world: str) -> Iterator[str | None]:
    if not world.endswith("postgres"):
        yield None
        return
    if POSTGRES is None:
        message = "LOCALASSIST_TEST_POSTGRES is not set: run the tests through `tests/postgres.sh run`."
        if os.environ.get("CI") == "true":  # noqa: TID251 - the same
            pytest.fail(message)
        pytest.skip(message)
    schema = f"contract_{secrets.token_hex(8)}"
    execute(f"CREATE SCHEMA {schema}")
    try:
        yield f"{POSTGRES}{'&' if '?' in POSTGRES else '?'}options={quote(f'-csearch_path={schema}')}"
    finally:
        execute(f"DROP SCHEMA {schema} CASCADE")


def execute(statement: str) -> None:
    assert POSTGRES is not None
    engine = create_engine(POSTGRES.replace("postgresql://", "postgresql+psycopg://", 1))
    with engine.begin() as conn:
        conn.execute(text(statement))
    engine.dispose()
