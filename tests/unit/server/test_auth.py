import pytest

from localassist.errors import AuthenticationError
from localassist.server.auth import ForbiddenError, check_key, check_origin, names_this_machine


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8000", "127.0.0.1:8000", "127.9.9.9", "[::1]:80", "LOCALHOST:1", "app.localhost",
     "localassist.local"],
)  # fmt: skip
def test_these_hosts_are_this_machine(host: str) -> None:
    assert names_this_machine(host)


@pytest.mark.parametrize(
    "host", ["", "evil.example", "127.0.0.1.evil.example:8000", "10.0.0.1", "localhost.evil.example", "[::2]:80"]
)
def test_these_hosts_are_not(host: str) -> None:
    assert not names_this_machine(host)


def test_the_right_key_comes_in() -> None:
    check_key("Bearer secret", "secret")
    check_key("bearer  secret ", "secret")


def test_a_wrong_key_is_refused_without_showing_it_whole() -> None:
    with pytest.raises(AuthenticationError) as caught:
        check_key("Bearer sk-very-long-wrong-key", "secret")
    assert caught.value.code == "invalid_api_key"
    assert "sk-***ey" in caught.value.message
    assert "very-long" not in caught.value.message


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic c2VjcmV0", "secret"])
def test_no_key_is_refused(header: str) -> None:
    with pytest.raises(AuthenticationError, match="didn't provide an API key"):
        check_key(header, "secret")


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:3000"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_page_of_another_site_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ForbiddenError):
        check_origin(headers, "127.0.0.1:8000")


@pytest.mark.parametrize(
    "headers",
    [{}, {"origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}],
)
def test_programs_and_the_servers_own_pages_come_in(headers: dict[str, str]) -> None:
    check_origin(headers, "127.0.0.1:8000")
