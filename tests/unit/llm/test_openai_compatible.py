"""The direct adapter and the connection below it: what bytes, cuts, pools and refusals become."""

import asyncio
import gzip
import shutil
import socket
import ssl
import subprocess
import zlib
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from localassist.egress import ContextExecutor, Egress
from localassist.errors import EgressError, ModelError
from localassist.llm.base import ChatMessage, ChatRequest
from localassist.llm.openai_compatible import OpenAICompatibleModel
from tests.scripted import server as script
from tests.scripted.fixture import model_server as model_server
from tests.scripted.server import Reply, ScriptedServer, chunk, events


def request(content: str = "Hi", *, timeout_s: float = 10.0) -> ChatRequest:
    return ChatRequest("scripted", [ChatMessage("user", content)], timeout_s=timeout_s)


@pytest.fixture
async def model(model_server: ScriptedServer) -> AsyncIterator[OpenAICompatibleModel]:
    model = OpenAICompatibleModel(base_url=model_server.base_url, egress=Egress())
    yield model
    await model.close()


async def read(model: OpenAICompatibleModel, wanted: ChatRequest | None = None) -> str:
    return "".join([delta.text async for delta in model.stream(wanted or request())])


async def fails(model: OpenAICompatibleModel, wanted: ChatRequest | None = None) -> ModelError:
    with pytest.raises(ModelError) as caught:
        await read(model, wanted)
    return caught.value


class RawServer:
    """Answers every request with these bytes, then drops the connection or leaves it silent; notes who went away."""

    def __init__(
        self, answer: bytes, *, silent: bool = False, reads: bool = True, context: ssl.SSLContext | None = None
    ) -> None:
        self._answer, self._silent, self._reads, self._context = answer, silent, reads, context
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.left = asyncio.Event()
        self.url = ""

    async def __aenter__(self) -> "RawServer":
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=1024, ssl=self._context)
        self.url = f"{'https' if self._context else 'http'}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await asyncio.sleep(0)  # a connection that has just ended closes its socket in the loop's next turn

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            if self._reads:
                await reader.readuntil(b"\r\n\r\n")
            writer.write(self._answer)
            await writer.drain()
            if self._silent and self._reads:
                while await reader.read(1024):
                    pass
                self.left.set()
            elif self._silent:
                await self.left.wait()
        except ConnectionError:
            self.left.set()
        finally:
            writer.transport.abort() if self._silent else writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


def head(*headers: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", "content-type: text/event-stream", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def framed(*bodies: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(body), body) for body in bodies)


async def slowly(model: OpenAICompatibleModel) -> tuple[str, ModelError | None]:
    """Read as a run does that writes to its store in between: what follows has all arrived when it reads on."""
    said = ""
    try:
        async for delta in model.stream(request()):
            said += delta.text
            for _ in range(50):
                await asyncio.sleep(0.001)
    except ModelError as error:
        return said, error
    return said, None


async def test_what_came_before_a_cut_is_not_lost_on_a_slow_reader(
    model: OpenAICompatibleModel, model_server: ScriptedServer
) -> None:
    first, second = (script.event(chunk({"content": word})) for word in ("a ", "b"))
    model_server.reply(Reply([first, script.Pause(0.01), second, script.Cut()], headers=script.text("").headers))

    said, error = await slowly(model)

    assert said == "a b"
    assert error is not None
    assert error.retryable
    assert "cut off before its end: its end is missing" in error.message


async def test_a_reply_that_finished_while_its_reader_was_slow_is_complete_although_cut(
    model: OpenAICompatibleModel, model_server: ScriptedServer
) -> None:
    first, last = script.event(chunk({"content": "a "})), script.event(chunk({"content": "b"}, finish="stop"))
    model_server.reply(Reply([first, script.Pause(0.01), last, script.Cut()], headers=script.text("").headers))

    assert await slowly(model) == ("a b", None)


@pytest.mark.parametrize("n_drops", [0, 3])
async def test_a_connection_dropped_behind_the_finish_cuts_nothing(n_drops: int) -> None:
    pieces = [script.event(chunk({"content": "a"})), script.event(chunk({"content": "b"}, finish="stop"))]
    whole = head("transfer-encoding: chunked") + framed(*pieces)
    async with RawServer(whole[: len(whole) - n_drops + 1] if n_drops else whole) as server:
        model = OpenAICompatibleModel(base_url=server.url, egress=Egress())

        assert await slowly(model) == ("ab", None)

        await model.close()


@pytest.mark.parametrize(
    "answer",
    [
        head("transfer-encoding: chunked") + framed(script.event(chunk({"content": "a"}))) + b"zz\r\n",
        head("content-length: 9999") + script.event(chunk({"content": "a"})),
        head("transfer-encoding: chunked", "content-encoding: gzip") + framed(b"this is no gzip"),
        b"what?\r\n\r\n",
        b"",
    ],
    ids=["framing", "length", "no gzip", "no HTTP", "nothing"],
)
async def test_an_answer_that_is_broken_is_a_failure_worth_another_try(answer: bytes) -> None:
    async with RawServer(answer) as server:
        model = OpenAICompatibleModel(base_url=server.url, egress=Egress())

        error = await fails(model)
        await model.close()

    assert error.retryable
    assert "was cut off before its end: " in error.message


@pytest.mark.parametrize(
    ("encoding", "encode"), [("gzip", gzip.compress), ("deflate", zlib.compress)], ids=["gzip", "deflate"]
)
@pytest.mark.parametrize("size", [1, 10_000], ids=["single bytes", "whole"])
async def test_a_compressed_stream_is_read(
    model: OpenAICompatibleModel, model_server: ScriptedServer, encoding: str, encode, size: int
) -> None:
    plain = script.text("Grüße 世界 🙂").in_one_packet()
    packed = Reply([encode(plain.pieces[0])], headers={**plain.headers, "content-encoding": encoding})
    model_server.reply(packed.split(size))

    assert await read(model) == "Grüße 世界 🙂"


async def test_closing_in_mid_stream_closes_the_connection() -> None:
    begun = head("transfer-encoding: chunked") + framed(script.event(chunk({"content": "a"})))
    async with RawServer(begun, silent=True) as server:
        model = OpenAICompatibleModel(base_url=server.url, egress=Egress())

        async with aclosing(model.stream(request())) as deltas:  # type: ignore[type-var]  # a generator
            assert (await anext(deltas)).text == "a"
        await asyncio.wait_for(server.left.wait(), 5)

        await model.close()


async def test_a_cancelled_call_closes_the_connection() -> None:
    async with RawServer(b"", silent=True) as server:
        model = OpenAICompatibleModel(base_url=server.url, egress=Egress())

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(read(model), 0.2)
        await asyncio.wait_for(server.left.wait(), 5)

        await model.close()


async def test_a_kept_connection_that_the_server_dropped_is_replaced() -> None:
    body = b"".join(script.text("fine").in_one_packet().pieces)  # type: ignore[arg-type]  # bytes only
    async with RawServer(head(f"content-length: {len(body)}") + body) as server:
        model = OpenAICompatibleModel(base_url=server.url, egress=Egress())

        for _ in range(3):
            assert await read(model) == "fine"
            await asyncio.sleep(0.01)  # let the end of the connection arrive

        await model.close()


async def test_an_error_leaves_its_connection_usable(
    model: OpenAICompatibleModel, model_server: ScriptedServer
) -> None:
    model_server.reply(script.error(500, "boom"), script.text("fine"))

    await fails(model)

    assert await read(model) == "fine"
    assert {each.connection for each in model_server.requests} == {1}


async def test_a_prompt_of_megabytes_is_sent_with_its_length(
    model: OpenAICompatibleModel, model_server: ScriptedServer
) -> None:
    model_server.reply(script.text("fine"))
    picture = "data:image/png;base64," + "A" * 3_000_000

    assert await read(model, request(picture)) == "fine"

    assert model_server.chats[0]["messages"][0]["content"] == picture
    assert int(model_server.requests[0].headers["content-length"]) > 3_000_000


async def test_long_headers_are_read(model: OpenAICompatibleModel, model_server: ScriptedServer) -> None:
    reply = script.text("fine")
    model_server.reply(replace(reply, headers={**reply.headers, "x-trace": "t" * 30_000}))

    assert await read(model) == "fine"


@pytest.mark.parametrize("reads", [True, False], ids=["silent", "deaf"])
async def test_a_server_that_takes_a_request_and_does_nothing_is_given_up(reads: bool) -> None:
    async with RawServer(b"", silent=True, reads=reads) as server:
        model = OpenAICompatibleModel(base_url=server.url, egress=Egress())

        error = await fails(model, request("A" * 20_000_000, timeout_s=0.3))
        server.left.set()
        await model.close()

    assert error.retryable
    assert "did not answer within 0.3 seconds" in error.message


async def test_a_reply_that_never_ends_is_given_up(model: OpenAICompatibleModel, model_server: ScriptedServer) -> None:
    words = events([chunk({"content": "a"})] * 200)
    model_server.reply(replace(words, pieces=[part for piece in words.pieces for part in (piece, script.Pause(0.01))]))

    assert "did not answer within 0.3 seconds" in (await fails(model, request(timeout_s=0.3))).message


@pytest.mark.parametrize("host", ["192.0.2.1", "[2001:db8::1]"])
async def test_a_host_that_is_refused_is_named_whoever_refuses_it(host: str) -> None:
    url = f"http://{host}:81/v1"
    model = OpenAICompatibleModel(base_url=url, egress=Egress([host]))

    with Egress().guarding(), pytest.raises(EgressError, match=r"192\.0\.2\.1|2001:db8::1"):
        await read(model)

    await model.close()


async def test_a_name_that_is_refused_when_it_is_looked_up_is_named() -> None:
    model = OpenAICompatibleModel(base_url="http://models.example/v1", egress=Egress(["models.example"]))
    executor = ContextExecutor(1)
    asyncio.get_running_loop().set_default_executor(executor)

    with Egress().guarding(), pytest.raises(EgressError, match=r"models\.example"):
        await read(model)

    await model.close()


async def test_a_name_with_several_addresses_that_are_refused_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiohttp, "ThreadedResolver", TwoAddresses)
    model = OpenAICompatibleModel(base_url="http://models.example/v1", egress=Egress(["models.example"]))

    with Egress().guarding(), pytest.raises(EgressError, match=r"models\.example"):
        await read(model)

    await model.close()


class TwoAddresses(AbstractResolver):
    """Finds every name at two addresses that lead nowhere."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            {"hostname": host, "host": to, "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}
            for to in ("192.0.2.1", "192.0.2.2")
        ]

    async def close(self) -> None:
        """Nothing to close."""


async def test_only_http_is_spoken() -> None:
    model = OpenAICompatibleModel(base_url="ftp://127.0.0.1/v1", egress=Egress())

    error = await fails(model)
    await model.close()

    assert not error.retryable
    assert "neither with http:// nor with https://" in error.message


async def test_a_server_whose_certificate_is_not_trusted_is_said(tmp_path: Path) -> None:
    context, _ = self_signed(tmp_path)
    async with RawServer(b"", context=context) as server:
        model = OpenAICompatibleModel(base_url=server.url, egress=Egress())

        error = await fails(model)
        await model.close()

    assert error.message.startswith("No model server answers at https://")
    assert "self-signed certificate" in error.message


@pytest.mark.parametrize("trusts", [True, False], ids=["trusted", "unverified"])
async def test_a_certificate_may_be_trusted_or_not_verified(tmp_path: Path, trusts: bool) -> None:
    context, certificate = self_signed(tmp_path)
    body = b"".join(script.text("fine").in_one_packet().pieces)  # type: ignore[arg-type]  # bytes only
    async with RawServer(head(f"content-length: {len(body)}") + body, context=context) as server:
        verify = ssl.create_default_context(cafile=certificate) if trusts else False
        model = OpenAICompatibleModel(base_url=server.url, egress=Egress(), verify=verify)

        assert await read(model) == "fine"

        await model.close()


def self_signed(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's context with a fresh certificate of its own, and the certificate."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("makes its certificate with openssl, which is not installed")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, certificate


async def test_a_proxy_of_the_environment_is_not_asked(
    model: OpenAICompatibleModel, model_server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    model_server.reply(script.text("fine"))

    assert await read(model) == "fine"


async def test_a_key_that_no_header_holds_is_said(model: OpenAICompatibleModel, model_server: ScriptedServer) -> None:
    wrong = OpenAICompatibleModel(base_url=model_server.base_url, egress=Egress(), api_key="one\ntwo")
    model_server.reply(script.text("fine"))

    error = await fails(wrong)
    await wrong.close()

    assert not error.retryable
    assert "cannot be used" in error.message
    assert await read(model) == "fine"
    assert len(model_server.requests) == 1, "nothing was sent with the wrong key"


async def test_a_name_and_password_in_the_url_are_sent_instead_of_the_key(model_server: ScriptedServer) -> None:
    url = model_server.base_url.replace("//", "//me:secret@")
    model = OpenAICompatibleModel(base_url=url, egress=Egress(), api_key="sk-test")
    model_server.reply(script.text("fine"))

    assert await read(model) == "fine"
    await model.close()

    assert model_server.requests[0].headers["authorization"].startswith("Basic ")
