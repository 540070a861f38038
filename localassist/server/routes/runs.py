"""Runs and their steps."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from localassist.runs.lifecycle import TERMINAL
from localassist.server.decode import body_of, includes_content, page_of, path_of
from localassist.server.encode import answer, poll_hint
from localassist.server.sse import EventStream
from localassist.types.run import (
    Run,
    RunCreateParams,
    RunUpdateParams,
    SubmitToolOutputsParams,
    ThreadAndRunCreateParams,
)
from localassist.wiring import Engine


def routes(engine: Engine) -> list[Route]:
    """Give the routes; `/threads/runs` must stand before `/threads/{thread_id}`."""
    runs, steps = _Runs(engine), _Steps(engine)
    of_thread, run = "/threads/{thread_id}/runs", "/threads/{thread_id}/runs/{run_id}"
    return [
        Route("/threads/runs", runs.create_thread_and_run, methods=["POST"]),
        Route(of_thread, runs.create, methods=["POST"]),
        Route(of_thread, runs.list, methods=["GET"]),
        Route(run, runs.retrieve, methods=["GET"]),
        Route(run, runs.update, methods=["POST"]),
        Route(f"{run}/cancel", runs.cancel, methods=["POST"]),
        Route(f"{run}/submit_tool_outputs", runs.submit_tool_outputs, methods=["POST"]),
        Route(f"{run}/steps", steps.list, methods=["GET"]),
        Route(f"{run}/steps/{{step_id}}", steps.retrieve, methods=["GET"]),
    ]


class _Runs:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def create(self, request: Request) -> Response:
        with_contents = includes_content(request)
        params = await body_of(request, RunCreateParams)
        run = await self._engine.runs.create(path_of(request, "thread_id"), params)
        return self._shown(run, after=0, stream=bool(params.stream), with_contents=with_contents)

    async def create_thread_and_run(self, request: Request) -> Response:
        params = await body_of(request, ThreadAndRunCreateParams)
        _, run = await self._engine.runs.create_thread_and_run(params)
        return self._shown(run, after=0, stream=bool(params.stream))

    async def submit_tool_outputs(self, request: Request) -> Response:
        params = await body_of(request, SubmitToolOutputsParams)
        run, before = await self._engine.runs.submit_tool_outputs(*_ids(request), params)
        return self._shown(run, after=before, stream=bool(params.stream))

    async def list(self, request: Request) -> Response:
        return answer(await self._engine.runs.list(path_of(request, "thread_id"), page_of(request)))

    async def retrieve(self, request: Request) -> Response:
        run = await self._engine.runs.retrieve(*_ids(request))
        return answer(run, headers=poll_hint(run.created_at, pending=run.status not in TERMINAL))

    async def update(self, request: Request) -> Response:
        params = await body_of(request, RunUpdateParams)
        return answer(await self._engine.runs.update(*_ids(request), params))

    async def cancel(self, request: Request) -> Response:
        return answer(await self._engine.runs.cancel(*_ids(request)))

    def _shown(self, run: Run, *, after: int, stream: bool, with_contents: bool = False) -> Response:
        if not stream:
            return answer(run)
        return EventStream(self._engine.runs.follow(run, after), with_contents=with_contents)


class _Steps:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def list(self, request: Request) -> Response:
        page = await self._engine.run_steps.list(
            *_ids(request), page_of(request), with_content=includes_content(request)
        )
        return answer(page)

    async def retrieve(self, request: Request) -> Response:
        step = await self._engine.run_steps.retrieve(
            *_ids(request), path_of(request, "step_id"), with_content=includes_content(request)
        )
        return answer(step)


def _ids(request: Request) -> tuple[str, str]:
    return path_of(request, "thread_id"), path_of(request, "run_id")
