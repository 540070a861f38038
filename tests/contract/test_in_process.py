"""What is special to the client that has its engine in this process."""

import gc
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

import localassist
from localassist.errors import ConfigurationError
from localassist.server.inprocess import ClosedError
from tests.scripted.server import ScriptedServer, text


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def engine_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "localassist"]


def in_a_program(code: str, home: Path) -> "subprocess.CompletedProcess[str]":
    program = [sys.executable, "-W", "ignore", "-c", code, str(home)]
    return subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)


def test_the_clients_are_the_sdks_own(home: Path) -> None:
    with localassist.OpenAI(home=home) as client:
        assert isinstance(client, openai.OpenAI)
        assert isinstance(client.with_options(max_retries=0), localassist.OpenAI)
        assert client.with_options(max_retries=0).beta.assistants.list().data == []


def test_what_one_client_makes_the_next_one_finds(home: Path) -> None:
    with localassist.OpenAI(home=home) as client:
        made = client.beta.assistants.create(model="m").id
    with localassist.OpenAI(home=home) as client:
        assert client.beta.assistants.retrieve(made).id == made


def test_clients_of_one_home_share_one_engine_until_the_last_is_closed(home: Path) -> None:
    before = len(engine_threads())
    first, second = localassist.OpenAI(home=home), localassist.OpenAI(home=home)
    assert len(engine_threads()) == before + 1

    first.close()
    assert second.beta.assistants.list().data == []
    with pytest.raises((ClosedError, RuntimeError, openai.APIConnectionError)):
        first.beta.assistants.list()
    second.close()

    assert len(engine_threads()) == before


def test_a_client_that_is_forgotten_gives_its_engine_back(home: Path) -> None:
    before = len(engine_threads())
    client = localassist.OpenAI(home=home)
    client.beta.assistants.list()

    del client
    gc.collect()

    for thread in engine_threads()[before:]:
        thread.join(20)
    assert len(engine_threads()) == before


def test_a_home_is_not_opened_twice_with_different_settings(home: Path) -> None:
    with (
        localassist.OpenAI(home=home, model="one", model_base_url="http://127.0.0.1:9/v1"),
        pytest.raises(ConfigurationError, match="model = 'one', not 'two'"),
    ):
        localassist.OpenAI(home=home, model="two")


@pytest.mark.parametrize("options", [{"base_url": "http://x"}, {"settings": localassist.Settings(), "port": 1}])
def test_options_that_contradict_each_other_are_refused(home: Path, options: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        localassist.OpenAI(home=home, **options)


def test_settings_can_be_given_whole(home: Path) -> None:
    with localassist.OpenAI(
        settings=localassist.Settings(home=home, model="mine", model_base_url="http://[::1]:9")
    ) as c:
        assert next(m.id for m in c.models.list()) == "mine"


def test_a_read_timeout_is_kept(home: Path) -> None:
    with ScriptedServer() as script:
        script.always(text("One two three").hanging_after(2))
        with localassist.OpenAI(home=home, model="m", model_base_url=script.base_url, max_retries=0) as client:
            assistant = client.beta.assistants.create(model="m")
            thread = client.beta.threads.create(messages=[{"role": "user", "content": "Hi"}])
            hasty = client.with_options(timeout=0.3)
            with (
                pytest.raises(Exception, match=r"nothing came for 0\.3 seconds"),
                hasty.beta.threads.runs.stream(thread_id=thread.id, assistant_id=assistant.id) as stream,
            ):
                stream.until_done()


def test_a_large_upload_is_streamed_from_an_iterator(home: Path) -> None:
    class Endless:
        """A file that is read piece by piece."""

        def __init__(self, size: int) -> None:
            self.left = size

        def read(self, n: int = -1) -> bytes:
            n = self.left if n < 0 else min(n, self.left)
            self.left -= n
            return b"x" * n

        def __iter__(self) -> Iterator[bytes]:
            while piece := self.read(65536):
                yield piece

    with localassist.OpenAI(home=home) as client:
        made = client.files.create(file=("x.txt", Endless(20_000_000)), purpose="assistants")  # type: ignore[arg-type] # read() is all that is needed

        assert made.bytes == 20_000_000
        n_read = sum(len(piece) for piece in client.files.content(made.id).iter_bytes())
        assert n_read == 20_000_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_fork_is_told_to_make_its_own_client(home: Path) -> None:
    code = """
import os, sys, localassist
client = localassist.OpenAI(home=sys.argv[1], max_retries=0)
client.beta.assistants.create(model="m")
if os.fork() == 0:
    try:
        client.beta.assistants.list()
    except Exception as error:
        print("child:", error, error.__cause__, flush=True)
    os._exit(0)
os.wait()
print("parent:", len(client.beta.assistants.list().data))
"""
    done = in_a_program(code, home)

    assert "make a client in each process, after the fork" in done.stdout
    assert "parent: 1" in done.stdout


def test_a_program_that_closes_nothing_ends_cleanly(home: Path) -> None:
    done = in_a_program(
        "import sys, localassist\nprint(localassist.OpenAI(home=sys.argv[1]).beta.threads.create().object)", home
    )

    assert (done.stdout, done.stderr, done.returncode) == ("thread\n", "", 0)


def test_importing_localassist_does_not_import_the_sdk(home: Path) -> None:
    done = in_a_program("import sys, localassist\nprint('openai' in sys.modules)", home)

    assert done.stdout == "False\n"
