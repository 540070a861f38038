"""What is looked at before anything is indexed."""

import socket
from pathlib import Path

import pytest

from localassist.cli.hints import check_model_server
from localassist.config import Settings
from localassist.errors import ConfigurationError


def settings(home: Path, **options: object) -> Settings:
    return Settings.load(home=home, **options)


def test_a_model_server_that_takes_connections_is_good_and_one_that_does_not_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        check_model_server(settings(tmp_path, model="m", model_base_url=url))

    with pytest.raises(ConfigurationError, match=rf"No model server answers at {url} \("):
        check_model_server(settings(tmp_path, model="m", model_base_url=url))


def test_a_model_of_the_settings_file_is_looked_for_at_its_own_url(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        dead = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
    named = {"mine": {"model": "m", "base_url": dead}}

    with pytest.raises(ConfigurationError, match="No model server answers"):
        check_model_server(settings(tmp_path, model="mine", models=named))


def test_without_a_server_to_look_for_nothing_is_contacted(tmp_path: Path) -> None:
    check_model_server(settings(tmp_path))
