"""The model names of requests, led to the adapters that serve them."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import cast

from localassist.llm.base import ChatModel, ChatRequest, Delta, ModelInfo


@dataclass(frozen=True, slots=True)
class Route:
    """Where a name leads: an adapter, or what makes it when it is first needed, and the model's name there."""

    adapter: ChatModel | Callable[[], ChatModel]
    model: str


class ModelRouter:
    """A chat model that is many: configured names go to their adapters, every other name to the default.

    So a program that asks for `gpt-4o` runs unchanged on the model that is there. An adapter that several routes make
    with the same function is made once.
    """

    def __init__(self, models: Mapping[str, Route], *, default: Route) -> None:
        self._models = dict(models)
        self._default = default
        self._made: dict[Callable[[], ChatModel], ChatModel] = {}
        self._making = asyncio.Lock()

    def route(self, model: str) -> Route:
        """Give the route of a name; the default for names that were not configured."""
        return self._models.get(model, self._default)

    def info(self, model: str) -> ModelInfo:
        """Give what the adapter of this name knows of it; makes that adapter, and no other, if it must.

        Making one may take seconds (litellm): call `warm` before, or this in a thread.
        """
        route = self.route(model)
        return self._adapter(route).info(route.model)

    async def warm(self, model: str | None = None) -> None:
        """Make the adapter of this name, by default that of the default route, without blocking the loop."""
        await self._ready(self._default if model is None else self.route(model))

    async def stream(self, request: ChatRequest) -> AsyncIterator[Delta]:
        """Let the adapter of the request's model answer it."""
        route = self.route(request.model)
        adapter = await self._ready(route)
        deltas = adapter.stream(replace(request, model=route.model))
        async with aclosing(cast("AsyncGenerator[Delta, None]", deltas)) as open_deltas:
            async for delta in open_deltas:
                yield delta

    async def close(self) -> None:
        """Close every adapter that was given or made."""
        given = [r.adapter for r in (*self._models.values(), self._default) if not _is_maker(r.adapter)]
        adapters = {id(a): a for a in [*cast("list[ChatModel]", given), *self._made.values()]}
        self._made.clear()
        for adapter in adapters.values():
            await adapter.close()

    async def _ready(self, route: Route) -> ChatModel:
        if not _is_maker(route.adapter) or route.adapter in self._made:
            return self._adapter(route)
        async with self._making:
            return await asyncio.to_thread(self._adapter, route)

    def _adapter(self, route: Route) -> ChatModel:
        if not _is_maker(route.adapter):
            return cast("ChatModel", route.adapter)
        make = cast("Callable[[], ChatModel]", route.adapter)
        if make not in self._made:
            self._made[make] = make()
        return self._made[make]


def _is_maker(adapter: ChatModel | Callable[[], ChatModel]) -> bool:
    return not hasattr(adapter, "stream")
