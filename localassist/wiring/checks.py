"""Whether the models that the settings name can be called at all: asked before anything is opened or touched.

Nothing heavy is loaded for it and nothing is contacted: litellm, which takes seconds to import, is known here by the
names of its providers, and a model folder by being there. Its files are verified when they are read.
"""

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from localassist.config import EXTRACTIVE, ModelSettings, Settings
from localassist.errors import ConfigurationError

_NAMES: Final = """
a2a a2a_agent ai21 ai21_chat aiml aiohttp_openai amazon_nova anthropic anthropic_text apertis assemblyai auto_router
aws_polly azure azure_ai azure_text baseten bedrock bedrock_mantle black_forest_labs bytez cerebras charity_engine
chatgpt chutes clarifai cloudflare codestral cohere cohere_chat cometapi compactifai cursor custom custom_openai
dashscope databricks datarobot deepgram deepinfra deepseek docker_model_runner dotprompt elevenlabs empower fal_ai
featherless_ai fireworks_ai friendliai galadriel gemini gigachat github github_copilot gradient_ai groq helicone
heroku hosted_vllm huggingface humanloop hyperbolic inception infinity jina_ai lambda_ai langflow langfuse langgraph
lemonade libertai litellm_agent litellm_proxy llamafile lm_studio manus maritalk meta_llama milvus minimax mistral
modelscope moonshot morph nano-gpt nebius neosantara nlp_cloud novita nscale nvidia_nim nvidia_riva oci ollama
ollama_chat oobabooga openai openai_like openrouter ovhcloud parasail perplexity petals pg_vector pinstripes poe
predibase publicai ragflow recraft reducto replicate runwayml s3_vectors sagemaker sagemaker_chat sagemaker_nova
sambanova sap scaleway snowflake soniox stability synthetic tensormesh text-completion-codestral
text-completion-inception text-completion-openai together_ai topaz triton v0 vercel_ai_gateway vertex_ai
vertex_ai_beta vllm volcengine voyage wandb watsonx watsonx_text xai xiaomi_mimo xinference zai
"""
PROVIDERS: Final = frozenset(_NAMES.split())
"""Every provider that litellm knows, by the prefix of its models' names; a test compares it with litellm's own list."""

_FAMILIES: Final = re.compile(r"(?:ft:)?(?:gpt-|chatgpt-|o[134](?:-|$)|claude-)")
"""How names begin that litellm knows without a provider before them."""

_EMBEDDING_FAMILIES: Final = re.compile(r"text-embedding-(?:ada|3)-")
_EMBEDDED: Final = EXTRACTIVE.partition("/")[0]


def check_names(settings: Settings) -> None:
    """Let settings pass whose models can be called.

    Raises:
        ConfigurationError: the name of a model leads nowhere.
    """
    check_models(settings)
    check_embedder(settings)


def check_models(settings: Settings) -> None:
    """Let settings pass whose language models can be called.

    Raises:
        ConfigurationError: the name of one leads nowhere.
    """
    default = ModelSettings(model=settings.model, base_url=settings.model_base_url, adapter=settings.adapter)
    _check_model(default, "--model-base-url URL")
    for name, model in settings.models.items():
        _check_model(model, f"base_url under [models.{name}]")


def check_embedder(settings: Settings) -> None:
    """Let settings pass whose embedding model is here, or has an address.

    Raises:
        ConfigurationError: its name leads nowhere.
    """
    if settings.embedder == Settings.model_fields["embedder"].default:
        return  # it ships
    kind, colon, name = settings.embedder.partition(":")
    if kind == "remote" and colon:
        _check_remote_embedder(name, settings.embedder_base_url)
    else:
        _must_be_here(settings)


def _check_model(model: ModelSettings, url_option: str) -> None:
    name = model.model
    if name == EXTRACTIVE or (model.base_url and model.adapter != "litellm"):
        return
    prefix, slash, _ = name.partition("/")
    if slash and prefix == _EMBEDDED:
        raise ConfigurationError(f"There is no model {name!r}. Did you mean {EXTRACTIVE!r}?")
    if (prefix in PROVIDERS) if slash else _FAMILIES.match(name):
        return
    if model.base_url:
        raise ConfigurationError(
            f"The model {name!r} cannot be called through litellm, which wants a provider before its name. Write "
            f"openai/{name}, or leave the adapter to 'auto'."
        )
    if slash and (near := get_close_matches(prefix, PROVIDERS, n=1, cutoff=0.8)):
        raise ConfigurationError(
            f"The model {name!r} names no known provider. Did you mean {near[0] + name[len(prefix) :]!r}? For an "
            f"OpenAI-compatible server of your own, add {url_option}."
        )
    raise ConfigurationError(
        f"The model {name!r} names no known provider, and no URL is given for it. For an OpenAI-compatible server, add "
        f"{url_option}; for Ollama, write ollama/{name if not slash else 'NAME'}; for another provider, put it before "
        "the name: openai/NAME, anthropic/NAME, gemini/NAME."
    )


def _check_remote_embedder(name: str, url: str | None) -> None:
    prefix, slash, _ = name.partition("/")
    if not name:
        raise ConfigurationError("The embedder 'remote:' names no model. Write remote:NAME.")
    if url is None and not ((prefix in PROVIDERS) if slash else _EMBEDDING_FAMILIES.match(name)):
        raise ConfigurationError(
            f"The embedder 'remote:{name}' has no URL. Add --embedder-base-url URL of an OpenAI-compatible server, or "
            "put a known provider before the name: remote:openai/NAME, remote:cohere/NAME, remote:voyage/NAME."
        )


def _must_be_here(settings: Settings) -> None:
    from localassist.retrieval.catalogue import Catalogue

    catalogue = Catalogue([] if settings.models_folder is None else [settings.models_folder])
    if catalogue.folder_of(settings.embedder) is None and not Path(settings.embedder).expanduser().is_dir():
        catalogue.open(settings.embedder)  # which says what there is instead
