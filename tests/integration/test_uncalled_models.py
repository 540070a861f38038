"""Models that litellm cannot call: nothing is sent, and nothing is called an answer of a server."""

import pytest

from localassist.config import quiet_litellm
from localassist.egress import Egress
from localassist.errors import ModelError
from localassist.llm.base import ChatMessage, ChatModel, ChatRequest
from tests.scripted import server as script
from tests.scripted.fixture import model_server as model_server
from tests.scripted.server import ScriptedServer

# litellm's own use of pydantic; shown to nobody outside the tests
pytestmark = pytest.mark.filterwarnings("ignore:Accessing the 'model_")

KEYS = ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY", "ANTHROPIC_API_KEY")


def litellm_model(**options: str) -> ChatModel:
    quiet_litellm()
    from localassist.llm.litellm_model import LiteLLMModel

    allowed = Egress(["api.openai.com", "generativelanguage.googleapis.com", "api.anthropic.com"])
    return LiteLLMModel(egress=allowed, **options)


async def failure(model: ChatModel, name: str) -> ModelError:
    with pytest.raises(ModelError) as caught:
        async for _ in model.stream(ChatRequest(name, [ChatMessage("user", "Hi")])):
            pass
    return caught.value


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("m", "The model 'm' names no provider that litellm knows: nothing was sent."),
        ("foo/bar", "The model 'foo/bar' names no provider that litellm knows: nothing was sent."),
        ("gpt-4o", "LOCALASSIST_MODEL_API_KEY"),
        ("gemini/gemini-1.5-pro", "--model-api-key"),
        ("anthropic/claude-3-5-sonnet-20240620", "--model-api-key"),
        ("voyage/voyage-3", "litellm offers no chat with this provider."),
    ],
)
async def test_what_was_never_sent_is_no_answer_and_says_what_is_missing(
    name: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in KEYS:
        monkeypatch.delenv(key, raising=False)

    error = await failure(litellm_model(), name)

    assert words in error.message
    assert "nothing was sent" in error.message
    assert "answered" not in error.message
    assert "Traceback" not in error.message
    assert not error.retryable


async def test_a_server_that_asks_for_a_key_has_answered(model_server: ScriptedServer) -> None:
    model_server.reply(script.error(401, "Missing API key. Set the OPENAI_API_KEY environment variable."))

    error = await failure(litellm_model(base_url=model_server.base_url), "openai/scripted")

    assert "answered 401: Missing API key." in error.message
