"""The routes of API version 1: they are met only by requests that ask for it."""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from localassist.runs.lifecycle import TERMINAL
from localassist.server.decode import body_of, page_of, path_of, text_of
from localassist.server.encode import answer, mapped, poll_hint
from localassist.server.sse import EventStream
from localassist.server.v1 import params as v1
from localassist.server.v1.shapes import (
    shown_assistant,
    shown_events,
    shown_message,
    shown_run,
    shown_step,
    shown_thread,
)
from localassist.types.assistant import Assistant
from localassist.types.message import Message, MessageCreateParams, MessageUpdateParams
from localassist.types.run import Run, RunUpdateParams, SubmitToolOutputsParams
from localassist.types.thread import Thread, ThreadUpdateParams
from localassist.wiring import Engine


class V1Route(Route):
    """A route that is there only for requests of version 1."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Say whether the route answers a request."""
        return super().matches(scope) if speaks_v1(scope) else (Match.NONE, {})


def speaks_v1(scope: Scope) -> bool:
    """Say whether a request asks for version 1; one that asks for both is served version 2."""
    lines = Headers(raw=scope.get("headers", [])).getlist("openai-beta")
    asked = {part.strip().lower() for line in lines for part in line.split(",")}
    return "assistants=v1" in asked and "assistants=v2" not in asked


def routes(engine: Engine) -> list[Route]:
    """Give the routes; they must stand before those of version 2, which serve every path that is not here."""
    assistants, threads, messages, runs = _Assistants(engine), _Threads(engine), _Messages(engine), _Runs(engine)
    assistant, thread = "/assistants/{assistant_id}", "/threads/{thread_id}"
    message, run = f"{thread}/messages/{{message_id}}", f"{thread}/runs/{{run_id}}"
    return [
        V1Route("/assistants", assistants.create, methods=["POST"]),
        V1Route("/assistants", assistants.list, methods=["GET"]),
        V1Route(assistant, assistants.retrieve, methods=["GET"]),
        V1Route(assistant, assistants.update, methods=["POST"]),
        V1Route(assistant, assistants.delete, methods=["DELETE"]),
        V1Route(f"{assistant}/files", assistants.create_file, methods=["POST"]),
        V1Route(f"{assistant}/files", assistants.list_files, methods=["GET"]),
        V1Route(f"{assistant}/files/{{file_id}}", assistants.retrieve_file, methods=["GET"]),
        V1Route(f"{assistant}/files/{{file_id}}", assistants.delete_file, methods=["DELETE"]),
        V1Route("/threads/runs", runs.create_thread_and_run, methods=["POST"]),
        V1Route("/threads", threads.create, methods=["POST"]),
        V1Route(thread, threads.retrieve, methods=["GET"]),
        V1Route(thread, threads.update, methods=["POST"]),
        V1Route(f"{thread}/messages", messages.create, methods=["POST"]),
        V1Route(f"{thread}/messages", messages.list, methods=["GET"]),
        V1Route(message, messages.retrieve, methods=["GET"]),
        V1Route(message, messages.update, methods=["POST"]),
        V1Route(f"{message}/files", messages.list_files, methods=["GET"]),
        V1Route(f"{message}/files/{{file_id}}", messages.retrieve_file, methods=["GET"]),
        V1Route(f"{thread}/runs", runs.create, methods=["POST"]),
        V1Route(f"{thread}/runs", runs.list, methods=["GET"]),
        V1Route(run, runs.retrieve, methods=["GET"]),
        V1Route(run, runs.update, methods=["POST"]),
        V1Route(f"{run}/cancel", runs.cancel, methods=["POST"]),
        V1Route(f"{run}/submit_tool_outputs", runs.submit_tool_outputs, methods=["POST"]),
        V1Route(f"{run}/steps", runs.list_steps, methods=["GET"]),
        V1Route(f"{run}/steps/{{step_id}}", runs.retrieve_step, methods=["GET"]),
    ]


class _Assistants:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def create(self, request: Request) -> Response:
        params = await body_of(request, v1.V1AssistantCreateParams)
        return _assistant(*await self._engine.v1_files.create_assistant(params.v2(), params.file_ids or ()))

    async def list(self, request: Request) -> Response:
        page = await self._engine.assistants.list(page_of(request))
        files = await self._engine.v1_files.file_ids(a.id for a in page.data)
        return answer(mapped(page, lambda a: shown_assistant(a.model_dump(), files[a.id])))

    async def retrieve(self, request: Request) -> Response:
        assistant = await self._engine.assistants.retrieve(path_of(request, "assistant_id"))
        files = await self._engine.v1_files.file_ids([assistant.id])
        return _assistant(assistant, files[assistant.id])

    async def update(self, request: Request) -> Response:
        assistant_id = path_of(request, "assistant_id")
        params = await body_of(request, v1.V1AssistantUpdateParams)
        current = await self._engine.assistants.retrieve(assistant_id)
        updated = await self._engine.v1_files.update_assistant(assistant_id, params.v2(current.tools), params.file_ids)
        return _assistant(*updated)

    async def delete(self, request: Request) -> Response:
        return answer(await self._engine.v1_files.delete_assistant(path_of(request, "assistant_id")))

    async def create_file(self, request: Request) -> Response:
        params = await body_of(request, v1.V1AssistantFileCreateParams)
        return answer(await self._engine.v1_files.create(path_of(request, "assistant_id"), params.file_id))

    async def list_files(self, request: Request) -> Response:
        return answer(await self._engine.v1_files.list(path_of(request, "assistant_id"), page_of(request)))

    async def retrieve_file(self, request: Request) -> Response:
        return answer(await self._engine.v1_files.retrieve(*_file_ids(request)))

    async def delete_file(self, request: Request) -> Response:
        return answer(await self._engine.v1_files.delete(*_file_ids(request)))


class _Threads:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def create(self, request: Request) -> Response:
        params = await body_of(request, v1.V1ThreadCreateParams)
        messages = await _with_attachments(self._engine, params.messages)
        thread = await self._engine.threads.create(params.v2(messages))
        await _keep_files(self._engine, thread.id, messages)
        return _thread(thread)

    async def retrieve(self, request: Request) -> Response:
        return _thread(await self._engine.threads.retrieve(path_of(request, "thread_id")))

    async def update(self, request: Request) -> Response:
        params = await body_of(request, v1.V1MetadataParams)
        given = ThreadUpdateParams.model_validate(params.model_dump(exclude_unset=True))
        return _thread(await self._engine.threads.update(path_of(request, "thread_id"), given))


class _Messages:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def create(self, request: Request) -> Response:
        thread_id = path_of(request, "thread_id")
        params = await body_of(request, v1.V1MessageCreateParams)
        (message,) = await _with_attachments(self._engine, [params], thread_id=thread_id)
        created = await self._engine.messages.create(thread_id, message)
        await _keep_files(self._engine, thread_id, [message])
        return _message(created)

    async def list(self, request: Request) -> Response:
        page = await self._engine.messages.list(
            path_of(request, "thread_id"), page_of(request), run_id=text_of(request, "run_id")
        )
        return answer(mapped(page, lambda message: shown_message(message.model_dump())))

    async def retrieve(self, request: Request) -> Response:
        return _message(await self._engine.messages.retrieve(*_message_ids(request)))

    async def update(self, request: Request) -> Response:
        params = await body_of(request, v1.V1MetadataParams)
        given = MessageUpdateParams.model_validate(params.model_dump(exclude_unset=True))
        return _message(await self._engine.messages.update(*_message_ids(request), given))

    async def list_files(self, request: Request) -> Response:
        return answer(await self._engine.v1_files.list_of_message(*_message_ids(request), page_of(request)))

    async def retrieve_file(self, request: Request) -> Response:
        file_id = path_of(request, "file_id")
        return answer(await self._engine.v1_files.retrieve_of_message(*_message_ids(request), file_id))


class _Runs:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def create(self, request: Request) -> Response:
        thread_id = path_of(request, "thread_id")
        params = await body_of(request, v1.V1RunCreateParams)
        messages = await _with_attachments(self._engine, params.additional_messages, thread_id=thread_id)
        run = await self._engine.runs.create(thread_id, params.v2(messages))
        await _keep_files(self._engine, thread_id, messages)
        return await self._shown(run, after=0, stream=bool(params.stream))

    async def create_thread_and_run(self, request: Request) -> Response:
        params = await body_of(request, v1.V1ThreadAndRunCreateParams)
        messages = await _with_attachments(self._engine, params.thread.messages if params.thread else None)
        thread, run = await self._engine.runs.create_thread_and_run(params.v2(messages))
        await _keep_files(self._engine, thread.id, messages)
        return await self._shown(run, after=0, stream=bool(params.stream))

    async def submit_tool_outputs(self, request: Request) -> Response:
        params = await body_of(request, SubmitToolOutputsParams)
        run, before = await self._engine.runs.submit_tool_outputs(*_run_ids(request), params)
        return await self._shown(run, after=before, stream=bool(params.stream))

    async def list(self, request: Request) -> Response:
        page = await self._engine.runs.list(path_of(request, "thread_id"), page_of(request))
        files = await self._engine.v1_files.file_ids(run.assistant_id for run in page.data)
        return answer(mapped(page, lambda run: shown_run(run.model_dump(), files[run.assistant_id])))

    async def retrieve(self, request: Request) -> Response:
        run = await self._engine.runs.retrieve(*_run_ids(request))
        return await self._run(run, headers=poll_hint(run.created_at, pending=run.status not in TERMINAL))

    async def update(self, request: Request) -> Response:
        params = await body_of(request, v1.V1MetadataParams)
        given = RunUpdateParams.model_validate(params.model_dump(exclude_unset=True))
        return await self._run(await self._engine.runs.update(*_run_ids(request), given))

    async def cancel(self, request: Request) -> Response:
        return await self._run(await self._engine.runs.cancel(*_run_ids(request)))

    async def list_steps(self, request: Request) -> Response:
        page = await self._engine.run_steps.list(*_run_ids(request), page_of(request), with_content=False)
        return answer(mapped(page, shown_step))

    async def retrieve_step(self, request: Request) -> Response:
        step_id = path_of(request, "step_id")
        return answer(
            shown_step(await self._engine.run_steps.retrieve(*_run_ids(request), step_id, with_content=False))
        )

    async def _shown(self, run: Run, *, after: int, stream: bool) -> Response:
        if not stream:
            return await self._run(run)
        files = await self._engine.v1_files.file_ids([run.assistant_id])
        return EventStream(shown_events(self._engine.runs.follow(run, after), files[run.assistant_id]))

    async def _run(self, run: Run, *, headers: dict[str, str] | None = None) -> Response:
        files = await self._engine.v1_files.file_ids([run.assistant_id])
        return answer(shown_run(run.model_dump(), files[run.assistant_id]), headers=headers)


async def _with_attachments(
    engine: Engine, messages: Sequence[v1.V1MessageCreateParams] | None, *, thread_id: str | None = None
) -> list[MessageCreateParams]:
    given = messages or ()
    attachments = await engine.v1_files.attachments([m.file_ids or () for m in given], thread_id=thread_id)
    return [message.v2(attached) for message, attached in zip(given, attachments, strict=True)]


async def _keep_files(engine: Engine, thread_id: str, messages: Sequence[MessageCreateParams]) -> None:
    if any(message.attachments for message in messages):
        await engine.v1_files.keep(thread_id)


def _assistant(assistant: Assistant, file_ids: Sequence[str]) -> Response:
    return answer(shown_assistant(assistant.model_dump(), file_ids))


def _thread(thread: Thread) -> Response:
    return answer(shown_thread(thread.model_dump()))


def _message(message: Message) -> Response:
    return answer(shown_message(message.model_dump()))


def _file_ids(request: Request) -> tuple[str, str]:
    return path_of(request, "assistant_id"), path_of(request, "file_id")


def _message_ids(request: Request) -> tuple[str, str]:
    return path_of(request, "thread_id"), path_of(request, "message_id")


def _run_ids(request: Request) -> tuple[str, str]:
    return path_of(request, "thread_id"), path_of(request, "run_id")
