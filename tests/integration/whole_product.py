"""Everything this version can do, in one program: the tests run it where no network is, and watch what it asks for.

    python -m tests.integration.whole_product FOLDER

Every process that it starts belongs to it. It ends with 0 when all of it worked.
"""

import fcntl
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import openai

import localassist
from tests.integration.serving import Served
from tests.scripted import server as script
from tests.scripted.server import RecordedRequest, Reply, ScriptedServer

DOCUMENTS = Path(__file__).parents[2] / "examples" / "documents"
ELSEWHERE = "http://203.0.113.7/picture.png"
"""An address that no test has allowed."""


def model(request: RecordedRequest) -> Reply:
    """Searches once, and then answers."""
    if request.body["messages"][-1]["role"] == "tool":
        return script.text("As the files say 【4:0†source】.")
    return script.tool_calls(script.call("file_search", {"queries": ["opening hours"]}))


def bring_loopback_up() -> None:
    """A fresh network namespace has its loopback device switched off."""
    flags_of, set_flags, up = 0x8913, 0x8914, 0x1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, flags_of, request))[1]
        if not flags & up:
            fcntl.ioctl(any_socket, set_flags, struct.pack("16sh14x", b"lo", flags | up))


def command_line(*arguments: str | Path) -> str:
    command = [sys.executable, "-m", "localassist", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def ask_on_the_command_line(folder: Path) -> None:
    home = folder / "cli"
    said = command_line("ask", "--home", home, DOCUMENTS, "博物馆的镇馆之宝是什么?")
    assert "museum-guide-zh.txt" in said
    command_line("add", "--home", home, DOCUMENTS)
    assert "harbour-works-handbook.pdf" in command_line("search", "--home", home, "harbour works crane")
    command_line("models")
    command_line("doctor", "--home", home)


def use(client: openai.OpenAI, *, model_name: str = "gpt-4o") -> None:
    """The vertical through every layer: files in, a cited answer out, streamed and not."""
    files = [client.files.create(file=path, purpose="assistants").id for path in sorted(DOCUMENTS.iterdir())]
    store = client.vector_stores.create()
    batch = client.vector_stores.file_batches.create_and_poll(store.id, file_ids=files, poll_interval_ms=50)
    assert batch.file_counts.completed == len(files), batch
    assert client.vector_stores.search(store.id, query="opening hours").data
    assistant = client.beta.assistants.create(
        model=model_name,
        instructions="Answer from the files.",
        tools=[{"type": "file_search"}],
        tool_resources={"file_search": {"vector_store_ids": [store.id]}},
    )
    picture = {"type": "image_url", "image_url": {"url": ELSEWHERE}}
    asked = {"type": "text", "text": "When is it open?"}
    thread = client.beta.threads.create(messages=[{"role": "user", "content": [asked, picture]}])  # type: ignore[list-item]
    run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id, poll_interval_ms=50)
    assert run.status == "completed", run
    answer = client.beta.threads.messages.list(thread.id).data[0].content[0]
    assert answer.type == "text"
    assert answer.text.annotations, answer
    client.beta.threads.messages.create(thread.id, role="user", content="And on Sundays?")
    with client.beta.threads.runs.stream(thread_id=thread.id, assistant_id=assistant.id) as stream:
        stream.until_done()
        assert stream.get_final_run().status == "completed"


def use_over_http(folder: Path) -> None:
    with ScriptedServer() as model_server:
        model_server.always(model)
        for adapter, name in (("direct", "scripted"), ("litellm", "openai/scripted")):
            served = Served(folder / adapter, model_server.base_url, adapter=adapter, model=name)
            with served, served.client() as client:
                use(client)
                use(client, model_name="localassist/extractive")


def use_in_process(folder: Path) -> None:
    with localassist.OpenAI(home=folder / "in-process") as client:
        use(client)
    with ScriptedServer() as model_server:
        model_server.always(model)
        for adapter, name in (("direct", "scripted"), ("litellm", "openai/scripted")):
            home = folder / f"in-process-{adapter}"
            with localassist.OpenAI(
                home=home, model=name, model_base_url=model_server.base_url, adapter=adapter
            ) as client:
                use(client)


def embed_elsewhere_on_this_machine(folder: Path) -> None:
    with ScriptedServer() as model_server:
        url = model_server.base_url
        for name in ("remote:embed", "remote:ollama/embed"):
            home = folder / name.replace(":", "-").replace("/", "-")
            with localassist.OpenAI(home=home, embedder=name, embedder_base_url=url) as client:
                file = client.files.create(file=DOCUMENTS / "tidewatch-release-notes.md", purpose="assistants")
                store = client.vector_stores.create()
                client.vector_stores.files.create_and_poll(file.id, vector_store_id=store.id, poll_interval_ms=50)
                client.vector_stores.search(store.id, query="release")


PARTS: Sequence[Callable[[Path], None]] = (
    ask_on_the_command_line,
    use_over_http,
    use_in_process,
    embed_elsewhere_on_this_machine,
)


def main() -> None:
    folder = Path(sys.argv[1])
    os.environ["HOME"] = str(folder / "nobody")  # noqa: TID251 - for its children: no cache of this machine may help
    bring_loopback_up()
    for part in PARTS:
        part(folder)
        sys.stdout.write(f"{part.__name__}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
