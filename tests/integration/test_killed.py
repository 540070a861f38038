"""The server is killed at moments nobody chose: what was acknowledged is there afterwards, and nothing hangs."""

import json
import random
import re
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from sqlalchemy import Engine, create_engine, text

from tests.contract.conftest import database_of
from tests.integration.serving import Served, children_of, is_running, until
from tests.scripted import server as script
from tests.scripted.server import Pause, RecordedRequest, Reply, ScriptedServer

LEASE_S = 1.0
MARK = re.compile(r"【\d+:\d+†[^】]*】")
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"place": {"type": "string"}}}},
}
KINDS = ("talk", "search", "call", "both")
ENDED = {"completed", "failed", "cancelled", "expired", "incomplete"}
STREAM_ENDS = {f"thread.run.{status}" for status in ENDED}


def slowly(reply: Reply) -> Reply:
    """The same reply, so slow that a run takes long enough to be hit."""
    return replace(reply, pieces=[part for piece in reply.pieces for part in (piece, Pause(0.01))])


def model(request: RecordedRequest) -> Reply:
    """Does what the user's last words ask for: talk, search, call a function, or both, and then answers."""
    messages = request.body["messages"]
    asked = next(m["content"] for m in reversed(messages) if m["role"] == "user")
    kind, _, word = asked.partition(" ")
    if messages[-1]["role"] == "tool":
        marks = MARK.findall("".join(m["content"] for m in messages if m["role"] == "tool"))
        return slowly(script.text(f"The answer to {word} is known {marks[0] if marks else ''} and it is short."))
    calls = {
        "search": [script.call("file_search", {"queries": [word]})],
        "call": [script.call("weather", {"place": word})],
        "both": [script.call("file_search", {"queries": [word]}), script.call("weather", {"place": word})],
    }
    return slowly(script.tool_calls(*calls[kind]) if kind in calls else script.text(f"You said {word}. " * 8))


def document(word: str) -> str:
    """A text that says `word` in every paragraph, long enough for several chunks."""
    return "\n\n".join(
        f"Paragraph {n} of {word}: the tide of {word} turns {n * 7 % 61} minutes past noon." for n in range(60)
    )


@dataclass
class Known:
    """What the server has acknowledged."""

    store_id: str = ""
    assistant_id: str = ""
    files: dict[str, str] = field(default_factory=dict)
    """The word of each uploaded file."""
    in_store: set[str] = field(default_factory=set)
    """Files whose adding to the store was acknowledged."""
    deleted: set[str] = field(default_factory=set)
    """Files whose deletion was asked for; it was acknowledged for those in `gone`."""
    gone: set[str] = field(default_factory=set)
    messages: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Thread and text of each message."""
    runs: dict[str, str] = field(default_factory=dict)
    """The thread of each run."""
    surprises: list[BaseException] = field(default_factory=list)


def unless_killed(known: Known, work: Callable[[], None]) -> None:
    """Do the work; that its server died under it is no surprise, anything else is."""
    try:
        work()
    except (openai.APIConnectionError, httpx.TransportError):
        pass
    except BaseException as surprise:  # noqa: BLE001 - it is raised again in the test's own thread
        known.surprises.append(surprise)


def upload(client: openai.OpenAI, known: Known) -> None:
    uploaded = []
    for _ in range(3):
        word = f"zq{secrets.token_hex(4)}"
        file = client.files.create(file=(f"{word}.md", document(word).encode()), purpose="assistants")
        known.files[file.id] = word
        uploaded.append(file.id)
    client.vector_stores.file_batches.create(known.store_id, file_ids=uploaded)
    known.in_store |= set(uploaded)


def delete(client: openai.OpenAI, known: Known, chosen: random.Random) -> None:
    candidates = sorted(known.in_store - known.deleted)
    if len(candidates) > 3:
        file_id = chosen.choice(candidates)
        known.deleted.add(file_id)
        client.files.delete(file_id)
        known.gone.add(file_id)


def ask(client: openai.OpenAI, known: Known, kind: str, *, streamed: bool) -> None:
    thread = client.beta.threads.create()
    content = f"{kind} {secrets.token_hex(3)}"
    message = client.beta.threads.messages.create(thread.id, role="user", content=content)
    known.messages[message.id] = thread.id, content
    if streamed:
        with client.beta.threads.runs.stream(thread_id=thread.id, assistant_id=known.assistant_id) as stream:
            for event in stream:
                if event.event == "thread.run.created":
                    known.runs[event.data.id] = thread.id
            run = stream.get_final_run()
    else:
        run = client.beta.threads.runs.create(thread_id=thread.id, assistant_id=known.assistant_id)
        known.runs[run.id] = thread.id
        run = settled(client, run.id, thread.id)
    if run.status == "requires_action":
        submit(client, run.id, thread.id)
        settled(client, run.id, thread.id)


def settled(client: openai.OpenAI, run_id: str, thread_id: str, *, within_s: float = 30.0) -> Any:
    def asked() -> Any:
        run = client.beta.threads.runs.retrieve(run_id, thread_id=thread_id)
        return run if run.status in ENDED | {"requires_action"} else None

    return until(asked, what=f"run {run_id} ends", within_s=within_s)


def submit(client: openai.OpenAI, run_id: str, thread_id: str) -> None:
    run = client.beta.threads.runs.retrieve(run_id, thread_id=thread_id)
    assert run.required_action is not None
    outputs = [{"tool_call_id": c.id, "output": "rain"} for c in run.required_action.submit_tool_outputs.tool_calls]
    client.beta.threads.runs.submit_tool_outputs(run_id, thread_id=thread_id, tool_outputs=outputs)  # type: ignore[arg-type]  # plain dicts


def work_until_killed(served: Served, known: Known, chosen: random.Random, delay_s: float) -> None:
    """Upload, delete and ask from several threads, and kill the server in the middle of it."""
    with served.client() as client:
        jobs: list[Callable[[], None]] = [
            lambda: upload(client, known),
            lambda: delete(client, known, chosen),
            *(lambda kind=kind: ask(client, known, kind, streamed=True) for kind in KINDS),
            *(lambda kind=kind: ask(client, known, kind, streamed=False) for kind in KINDS),
        ]
        threads = [threading.Thread(target=unless_killed, args=(known, job)) for job in jobs]
        for thread in threads:
            thread.start()
        threading.Event().wait(delay_s)
        served.kill()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
    if known.surprises:
        raise known.surprises[0]


# ---- what must be true afterwards


def check_runs(client: openai.OpenAI, known: Known) -> None:
    for run_id, thread_id in known.runs.items():
        run = settled(client, run_id, thread_id)
        if run.status == "requires_action":
            submit(client, run_id, thread_id)
            run = settled(client, run_id, thread_id)
        assert run.status == "completed", run


def check_messages(client: openai.OpenAI, known: Known) -> None:
    for message_id, (thread_id, content) in known.messages.items():
        said = [m for m in client.beta.threads.messages.list(thread_id) if m.role == "user"]
        assert [(m.id, m.content[0].text.value) for m in said] == [(message_id, content)]  # type: ignore[union-attr]
    for run_id, thread_id in known.runs.items():
        made = {
            s.step_details.message_creation.message_id
            for s in client.beta.threads.runs.steps.list(run_id, thread_id=thread_id)
            if s.step_details.type == "message_creation"
        }
        answers = [m for m in client.beta.threads.messages.list(thread_id) if m.run_id == run_id]
        assert {m.id for m in answers} == made
        assert len(answers) == 1
        assert answers[0].content


def check_files(client: openai.OpenAI, known: Known) -> None:
    listed = {f.id: f for f in client.vector_stores.files.list(known.store_id, limit=100)}
    assert known.in_store - known.deleted <= set(listed)
    assert not known.gone & set(listed)
    for file_id in known.gone:
        with pytest.raises(openai.NotFoundError):
            client.files.retrieve(file_id)
    for file_id, entry in listed.items():
        assert (entry.status, entry.last_error) == ("completed", None)
        whole = client.files.content(file_id).text
        chunks = [
            part.text or "" for part in client.vector_stores.files.content(file_id, vector_store_id=known.store_id)
        ]
        assert all(chunk in whole for chunk in chunks)
        assert whole.startswith(chunks[0])
        assert whole.endswith(chunks[-1])
        assert len(chunks) > 1


def check_search(client: openai.OpenAI, known: Known) -> None:
    listed = {f.id for f in client.vector_stores.files.list(known.store_id, limit=100)}
    for file_id, word in known.files.items():
        hits = client.vector_stores.search(known.store_id, query=word, max_num_results=5).data
        assert {hit.file_id for hit in hits} <= listed
        if file_id in listed:
            assert hits[0].file_id == file_id
            assert hits[0].content[0].text in document(word)


def check_rows(database: Engine) -> None:
    """Nothing waits, and every run's events count from 1 without a gap, behind one another, to one end."""
    with database.connect() as conn:
        waiting = "SELECT file_id FROM vector_store_files WHERE status = 'in_progress' OR worker IS NOT NULL"
        assert conn.execute(text(waiting)).all() == []
        assert conn.execute(text("SELECT id FROM runs WHERE worker IS NOT NULL")).all() == []
        runs = conn.execute(text("SELECT id, status FROM runs")).all()
        for run_id, status in runs:
            events = conn.execute(
                text("SELECT seq, name, data FROM run_events WHERE run_id = :id ORDER BY seq"), {"id": run_id}
            ).all()
            assert [e.seq for e in events] == list(range(1, len(events) + 1))
            names = [e.name for e in events]
            assert names[-1] == f"thread.run.{status}"
            assert not STREAM_ENDS & set(names[:-1])
            completed = [json.loads(e.data)["id"] for e in events if e.name.endswith(".completed")]
            assert len(completed) == len(set(completed))
        steps = conn.execute(text("SELECT body FROM run_steps")).scalars()
        assert {(json.loads(s) if isinstance(s, str) else s)["status"] for s in steps} <= {"completed"}
        assert conn.execute(text("SELECT id FROM messages WHERE status = 'in_progress'")).all() == []


def check(served: Served, known: Known, database: Engine) -> None:
    with served.client() as client:
        for run_id, thread_id in unknown_runs(database, known).items():
            known.runs[run_id] = thread_id
        check_runs(client, known)
        until(
            lambda: client.vector_stores.retrieve(known.store_id).file_counts.in_progress == 0,
            what="all files are indexed",
        )
        check_messages(client, known)
        check_files(client, known)
        check_search(client, known)
    check_rows(database)


def unknown_runs(database: Engine, known: Known) -> dict[str, str]:
    """Runs that were made, although their client did not live to hear of it."""
    with database.connect() as conn:
        rows = conn.execute(text("SELECT id, thread_id FROM runs")).all()
    return {row.id: row.thread_id for row in rows if row.id not in known.runs}


def prepare(client: openai.OpenAI) -> Known:
    store = client.vector_stores.create()
    assistant = client.beta.assistants.create(
        model="scripted",
        tools=[{"type": "file_search"}, WEATHER],  # type: ignore[list-item]  # plain dicts
        tool_resources={"file_search": {"vector_store_ids": [store.id]}},
    )
    return Known(store_id=store.id, assistant_id=assistant.id)


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    database = create_engine(url)
    try:
        yield database
    finally:
        database.dispose()


def kill_again_and_again(home: Path, *, n_kills: int, seed: int, database_url: str | None = None) -> None:
    chosen = random.Random(seed)
    settings: dict[str, Any] = {"lease_s": LEASE_S} | ({"database_url": database_url} if database_url else {})
    url = database_url.replace("postgresql://", "postgresql+psycopg://", 1) if database_url else None
    with ScriptedServer() as model_server, Served(home, model_server.base_url, **settings) as served:
        model_server.always(model)
        with served.client() as client:
            known = prepare(client)
        with opened(url or f"sqlite:///{home / 'localassist.db'}") as database:
            for _ in range(n_kills):
                work_until_killed(served, known, chosen, chosen.uniform(0.0, 2.0))
                served.start()
                check(served, known, database)
        assert " ERROR localassist" not in served.log


@pytest.mark.parametrize("where", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_a_server_killed_again_and_again_loses_and_doubles_nothing(tmp_path: Path, where: str) -> None:
    with database_of(where) as database_url:
        kill_again_and_again(tmp_path / "home", n_kills=3, seed=1, database_url=database_url)


# ---- several processes on one home


def in_store(client: openai.OpenAI, *names_and_bytes: tuple[str, bytes]) -> tuple[str, list[str]]:
    """A new store, and the files that were added to it."""
    files = [client.files.create(file=given, purpose="assistants").id for given in names_and_bytes]
    return client.vector_stores.create(file_ids=files).id, files


def indexed(client: openai.OpenAI, store_id: str, file_id: str, *, within_s: float = 60.0) -> Any:
    def asked() -> Any:
        entry = client.vector_stores.files.retrieve(file_id, vector_store_id=store_id)
        return entry if entry.status != "in_progress" else None

    return until(asked, what=f"{file_id} is indexed", within_s=within_s)


def test_another_server_takes_over_what_a_killed_one_had_begun(tmp_path: Path) -> None:
    """The client streams from a server that carries nothing out itself, and its stream goes on."""
    home = tmp_path / "home"
    with ScriptedServer() as model_server:
        model_server.reply(script.text("It turns at noon.").hanging_after(3), slowly(script.text("It turns at ten.")))
        door = Served(home, model_server.base_url, log=tmp_path / "door", run_workers=0, ingest_workers=0)
        first = Served(home, model_server.base_url, log=tmp_path / "first", lease_s=LEASE_S)
        second = Served(home, model_server.base_url, log=tmp_path / "second", lease_s=LEASE_S)
        with ExitStack() as processes, door, first, door.client() as client:
            thread = client.beta.threads.create(messages=[{"role": "user", "content": "When?"}])
            assistant = client.beta.assistants.create(model="any")
            with client.beta.threads.runs.stream(thread_id=thread.id, assistant_id=assistant.id) as stream:
                names: list[str] = [""]
                while names[-1] != "thread.message.delta":
                    names.append(next(stream).event)
                first.kill()
                killed_at = time.monotonic()
                processes.enter_context(second)
                names += [event.event for event in stream]
                assert time.monotonic() - killed_at < LEASE_S + 10
                assert names[-1] == "thread.run.completed"
                assert stream.get_final_run().status == "completed"
                (said,) = [m for m in client.beta.threads.messages.list(thread.id) if m.role == "assistant"]
                assert said.content[0].text.value == "It turns at ten."  # type: ignore[union-attr]


def test_a_file_whose_server_was_killed_is_indexed_by_another(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with ScriptedServer() as model_server:
        first = Served(home, model_server.base_url, log=tmp_path / "first", lease_s=LEASE_S)
        second = Served(home, model_server.base_url, log=tmp_path / "second", lease_s=LEASE_S, ingest_workers=0)
        with first, second:
            with second.client() as client:
                store_id, files = in_store(client, *[(f"{n}.md", document(f"zq{n}").encode()) for n in range(6)])
                until(lambda: client.vector_stores.retrieve(store_id).file_counts.completed, what="a file is indexed")
                first.kill()
                assert client.vector_stores.retrieve(store_id).file_counts.in_progress
            with (
                Served(home, model_server.base_url, log=tmp_path / "third", lease_s=LEASE_S),
                second.client() as client,
            ):
                assert [indexed(client, store_id, file_id).status for file_id in files] == ["completed"] * 6
                hits = [client.vector_stores.search(store_id, query=f"zq{n}").data[0] for n in range(6)]
                assert [hit.filename for hit in hits] == [f"{n}.md" for n in range(6)]


# ---- signals


def test_a_server_told_to_end_does_so_although_streams_are_open(tmp_path: Path) -> None:
    with ScriptedServer() as model_server, Served(tmp_path / "home", model_server.base_url, lease_s=LEASE_S) as served:
        model_server.reply(script.text("It turns at noon.").hanging_after(3), script.text("It turns at ten."))
        with served.client() as client:
            thread = client.beta.threads.create(messages=[{"role": "user", "content": "When?"}])
            assistant = client.beta.assistants.create(model="any")
            stream = client.beta.threads.runs.create(
                thread_id=thread.id, assistant_id=assistant.id, stream=True, timeout=30
            )
            run_id, asked_at = "", 0.0
            for event in stream:
                if event.event == "thread.run.created":
                    run_id = event.data.id
                if event.event == "thread.message.delta":
                    served.process.send_signal(signal.SIGTERM)
                    asked_at = time.monotonic()
                    break
            with pytest.raises(openai.APIError, match="being stopped"):
                list(stream)
            assert served.process.wait(30) == 0
            assert time.monotonic() - asked_at < 15
        assert " ERROR localassist" not in served.log
        served.start()
        with served.client() as client:
            assert settled(client, run_id, thread.id).status == "completed"
            (said,) = [m for m in client.beta.threads.messages.list(thread.id) if m.role == "assistant"]
            assert said.content[0].text.value == "It turns at ten."  # type: ignore[union-attr]


def parser_of(served: Served) -> int:
    """The process that reads the server's files."""
    (found,) = [
        pid
        for pid in children_of(served.process.pid)
        if b"localassist.retrieval.parsers.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    return found


def signalled(pid: int, number: signal.Signals) -> None:
    subprocess.run(["kill", f"-{number.value}", str(pid)], check=True)


def test_a_killed_parser_fails_one_file_at_most_and_says_why(tmp_path: Path) -> None:
    served = Served(tmp_path / "home", "http://127.0.0.1:9/v1", lease_s=LEASE_S)
    with served, served.client() as client:
        store_id, (first,) = in_store(client, ("first.md", document("zqfirst").encode()))
        assert indexed(client, store_id, first).status == "completed"

        idle = parser_of(served)
        signalled(idle, signal.SIGKILL)
        store_id, (second,) = in_store(client, ("second.md", document("zqsecond").encode()))
        assert indexed(client, store_id, second).status == "completed"

        busy = parser_of(served)
        assert busy != idle
        used_before = processor_time(busy)
        store_id, (third, fourth) = in_store(
            client, ("third.html", b"<p>So it <b>turns</b>.</p>\n" * 500_000), ("4.md", document("zq4").encode())
        )
        until(lambda: processor_time(busy) > used_before + 10, what="the parser is at work")
        signalled(busy, signal.SIGKILL)
        failed = indexed(client, store_id, third)
        assert (failed.status, failed.last_error.code) == ("failed", "server_error")
        assert "third.html" in failed.last_error.message
        assert "killed from outside" in failed.last_error.message
        assert indexed(client, store_id, fourth).status == "completed"


def processor_time(pid: int) -> int:
    """What the process has used so far, in hundredths of a second."""
    return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[11])


def test_a_killed_server_leaves_no_process_behind(tmp_path: Path) -> None:
    with ScriptedServer() as model_server, Served(tmp_path / "home", model_server.base_url) as served:
        with served.client() as client:
            store_id, (file_id,) = in_store(client, ("a.md", document("zqa").encode()))
            assert indexed(client, store_id, file_id).status == "completed"
        parser = parser_of(served)

        served.kill()

        until(lambda: not is_running(parser), what="the parser notices", within_s=10)
