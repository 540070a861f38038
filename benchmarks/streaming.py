"""What a streamed chunk costs between the model's socket and the run loop: our adapter, litellm, the openai SDK.

    python -m benchmarks.run streaming [--chunks 1000] [--rounds 5]

A scripted server in a process of its own sends the same reply to each client over real HTTP: once one chunk a
millisecond, so that each is read alone, as a model writes; once in a burst. Counted is the CPU time of the client's
process, divided by the chunks; beside it the same read with httpx alone, which throws the bytes away. Rounds are
interleaved, so that a slow minute of the machine meets all of them.
"""

import argparse
import asyncio
import logging
import multiprocessing
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection

import httpx

from benchmarks.measurement import Measurement, row
from localassist.config import quiet_litellm
from localassist.egress import Egress
from localassist.llm.base import ChatMessage, ChatModel, ChatRequest
from localassist.llm.openai_compatible import OpenAICompatibleModel
from tests.scripted.server import Pause, RecordedRequest, Reply, ScriptedServer, text

Read = Callable[[], Awaitable[int]]


def serve(n_chunks: int, pipe: Connection) -> None:
    """Run the scripted server until the pipe says stop."""
    burst = text([f"word{i} " for i in range(n_chunks)])
    paced = Reply([part for piece in burst.pieces for part in (piece, Pause(0.001))], headers=burst.headers)

    def answer(request: RecordedRequest) -> Reply:
        return paced if request.path.startswith("/paced") else burst

    with ScriptedServer() as server:
        server.always(answer)
        pipe.send(server.base_url)
        pipe.recv()


def of_model(model: ChatModel, name: str) -> Read:
    """Read a reply through one of our adapters."""

    async def read() -> int:
        request = ChatRequest(name, [ChatMessage("user", "go")])
        return sum([1 async for delta in model.stream(request) if delta.text])

    return read


def of_sdk(base_url: str) -> Read:
    """Read a reply through the openai SDK."""
    import openai

    client = openai.AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0)

    async def read() -> int:
        stream = await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "go"}], stream=True
        )
        return sum([1 async for chunk in stream if chunk.choices and chunk.choices[0].delta.content])

    return read


def of_httpx(base_url: str) -> Read:
    """Read the same bytes and do nothing with them."""
    client = httpx.AsyncClient(trust_env=False)

    async def read() -> int:
        n_pieces = 0
        async with client.stream("POST", f"{base_url}/chat/completions", json={"stream": True}) as response:
            async for _ in response.aiter_bytes():
                n_pieces += 1
        return n_pieces

    return read


async def read_in_turns(readers: dict[str, Read], *, n_chunks: int, n_rounds: int) -> dict[str, list[float]]:
    """Give milliseconds of CPU time a chunk, for each client and round; the first round warms up and is not counted."""
    found: dict[str, list[float]] = {name: [] for name in readers}
    for number in range(n_rounds + 1):
        for name, read in readers.items():
            start = time.process_time()
            n_read = await read()
            spent = time.process_time() - start
            if name != "httpx alone" and n_read != n_chunks:
                raise RuntimeError(f"{name} read {n_read} of {n_chunks} chunks")
            if number:
                found[name].append(1000 * spent / n_chunks)
    return found


async def _closing(model: OpenAICompatibleModel, work: Awaitable[dict[str, list[float]]]) -> dict[str, list[float]]:
    try:
        return await work
    finally:
        await model.close()


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--chunks", type=int, default=1000, help="chunks of a reply")
    parser.add_argument("--rounds", type=int, default=5)


def measure(options: argparse.Namespace) -> Measurement:
    """Measure."""
    quiet_litellm()
    from localassist.llm.litellm_model import LiteLLMModel

    logging.disable(logging.WARNING)
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(options.chunks, theirs))
    process.start()
    url = ours.recv()
    rows = []
    try:
        for way, base_url in (("one by one", url.replace("/v1", "/paced/v1")), ("in a burst", url)):
            direct = OpenAICompatibleModel(base_url=base_url, egress=Egress())
            readers = {
                "httpx alone": of_httpx(base_url),
                "localassist, direct": of_model(direct, "m"),
                "openai SDK": of_sdk(base_url),
                "localassist, litellm": of_model(LiteLLMModel(base_url=base_url, egress=Egress()), "openai/m"),
            }
            found = asyncio.run(
                _closing(direct, read_in_turns(readers, n_chunks=options.chunks, n_rounds=options.rounds))
            )
            rows += [row(f"{name}, {way}", values, "CPU-ms a chunk") for name, values in found.items()]
    finally:
        ours.send("stop")
        process.join()
        logging.disable(logging.NOTSET)
    return Measurement(
        name="streaming",
        title="Adapters of chat models",
        method=" ".join((__doc__ or "").split("\n\n", 2)[2].split()),
        caveats=[
            "Only from the model's socket to the run loop; what the rest of the way costs is under Runs.",
            "The openai SDK makes objects with every field of a chunk, of which ours takes what a run needs.",
        ],
        rows=rows,
        repeat="python -m benchmarks.run streaming",
    )
