"""Which adapter serves which model name."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from localassist.config import EXTRACTIVE, ModelSettings, Settings, quiet_litellm
from localassist.egress import Egress
from localassist.errors import ConfigurationError
from localassist.llm.base import ChatModel, ChatRequest, Delta, ModelInfo
from localassist.llm.extractive import ExtractiveModel
from localassist.llm.router import ModelRouter, Route

_PROVIDERS: Final = frozenset(
    {
        "ai21",
        "anthropic",
        "azure",
        "azure_ai",
        "bedrock",
        "cerebras",
        "cloudflare",
        "cohere",
        "databricks",
        "deepinfra",
        "deepseek",
        "fireworks_ai",
        "gemini",
        "groq",
        "huggingface",
        "litellm_proxy",
        "mistral",
        "nvidia_nim",
        "ollama",
        "ollama_chat",
        "openrouter",
        "perplexity",
        "replicate",
        "sagemaker",
        "sambanova",
        "together_ai",
        "vertex_ai",
        "voyage",
        "watsonx",
        "xai",
    }
)
"""Prefixes by which litellm knows providers whose API is not OpenAI's own; `auto` leaves these to litellm."""


class InformedModel:
    """A chat model of which the settings say what it can do."""

    def __init__(self, model: ChatModel, known: ModelInfo) -> None:
        self._model = model
        self._known = known

    def info(self, model: str) -> ModelInfo:
        """Give what the settings say, and what the adapter knows of the rest."""
        return _merged(self._known, self._model.info(model))

    def stream(self, request: ChatRequest) -> AsyncIterator[Delta]:
        """Call the model."""
        return self._model.stream(request)

    async def close(self) -> None:
        """Close the model's connections."""
        await self._model.close()


def allowed_hosts(settings: Settings) -> Sequence[str]:
    """Give the hosts that the settings name: those allowed outright, and those of configured endpoints."""
    endpoints = [settings.model_base_url, settings.embedder_base_url, *(m.base_url for m in settings.models.values())]
    return [*settings.allow_hosts, *(url for url in endpoints if url)]


def model_router(settings: Settings, egress: Egress) -> ModelRouter:
    """Give the models under their names; every other name leads to the default."""
    default = ModelSettings(
        model=settings.model,
        base_url=settings.model_base_url,
        api_key=settings.model_api_key,
        context_tokens=settings.model_context_tokens,
        supports_tools=settings.model_supports_tools,
        adapter=settings.adapter,
    )
    routes = {name: _route(model, egress) for name, model in settings.models.items()}
    routes.setdefault(EXTRACTIVE, Route(ExtractiveModel(), EXTRACTIVE))
    return ModelRouter(routes, default=_route(default, egress))


def is_direct(model: ModelSettings) -> bool:
    """Say whether a model is spoken to directly rather than through litellm.

    Raises:
        ConfigurationError: `direct` was asked for without a URL.
    """
    if model.adapter == "direct" and not model.base_url:
        raise ConfigurationError(f"The model {model.model!r} has the adapter 'direct', which needs its base_url.")
    prefix, slash, _ = model.model.partition("/")
    return model.adapter == "direct" or (
        model.adapter == "auto" and model.base_url is not None and not (slash and prefix in _PROVIDERS)
    )


def _route(model: ModelSettings, egress: Egress) -> Route:
    if model.model == EXTRACTIVE:
        return Route(ExtractiveModel(), EXTRACTIVE)
    known = ModelInfo(context_tokens=model.context_tokens, supports_tools=model.supports_tools)
    if is_direct(model):
        return Route(partial(_direct, model, known, egress), model.model.removeprefix("openai/"))
    return Route(partial(_through_litellm, model, known, egress), model.model)


def _direct(model: ModelSettings, known: ModelInfo, egress: Egress) -> ChatModel:
    from localassist.llm.openai_compatible import OpenAICompatibleModel

    return OpenAICompatibleModel(base_url=model.base_url or "", egress=egress, api_key=model.api_key, info=known)


def _through_litellm(model: ModelSettings, known: ModelInfo, egress: Egress) -> ChatModel:
    quiet_litellm()  # litellm reads these settings, and would fetch its price list, when it is imported
    from localassist.llm.litellm_model import LiteLLMModel

    return InformedModel(LiteLLMModel(egress=egress, base_url=model.base_url, api_key=model.api_key), known)


def _merged(known: ModelInfo, found: ModelInfo) -> ModelInfo:
    return replace(
        found,
        context_tokens=known.context_tokens or found.context_tokens,
        supports_tools=found.supports_tools if known.supports_tools is None else known.supports_tools,
    )
