"""The fixture `model_server`: `from tests.scripted.fixture import model_server` in a conftest or a test module."""

from collections.abc import Iterator

import pytest

from tests.scripted.server import ScriptedServer


@pytest.fixture
def model_server() -> Iterator[ScriptedServer]:
    """A scripted model server that lives as long as the test."""
    with ScriptedServer() as server:
        yield server
