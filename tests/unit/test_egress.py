"""Which hosts may be contacted, and that nothing else is, whichever library tries."""

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.egress import ContextExecutor, Egress, egress_error_in
from localassist.errors import ConfigurationError, EgressError

TEST_NET = "192.0.2.1"  # RFC 5737: never routed


@pytest.mark.parametrize(
    "target",
    [
        "localhost",
        "LOCALHOST.",
        "127.0.0.1",
        "127.8.9.10:8000",
        "::1",
        "[::1]:443",
        "::ffff:127.0.0.1",
        "0.0.0.0",
        "http://localhost:11434/v1",
        "https://[::1]/v1",
    ],
)
def test_this_machine_is_always_allowed(target: str) -> None:
    Egress().check(target)


@pytest.mark.parametrize(
    "target",
    [
        "example.com",
        "https://example.com/v1",
        "http://localhost@example.com/",
        "http://localhost.example.com/",
        "http://localhost\\@example.com/",
        "127.0.0.1.example.com",
        "10.0.0.1",
        "128.0.0.1",
        "::ffff:10.0.0.1",
        "",
        "http://",
        "http://[::1",
        "localhost:notaport",
    ],
)
def test_everything_else_is_refused_when_nothing_was_named(target: str) -> None:
    with pytest.raises(EgressError, match="Refused to contact"):
        Egress().check(target)


@pytest.mark.parametrize(
    ("pattern", "target", "allowed"),
    [
        ("example.com", "https://EXAMPLE.com./v1", True),
        ("example.com", "api.example.com", False),
        ("example.com", "notexample.com", False),
        ("*.example.com", "api.example.com", True),
        ("*.example.com", "a.b.example.com:8443", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "evilexample.com", False),
        ("example.com:8443", "https://example.com:8443/v1", True),
        ("example.com:8443", "https://example.com/v1", False),
        ("example.com:443", "https://example.com/v1", True),
        ("example.com:8443", "example.com", True),  # no port asked for
        ("https://example.com:9/v1", "example.com", True),
        ("10.0.0.5", "http://10.0.0.5:8000", True),
        ("2001:DB8::1", "[2001:db8:0::1]:443", True),
    ],
)
def test_a_name_is_compared_whole_a_star_stands_for_names_below(pattern: str, target: str, allowed: bool) -> None:
    egress = Egress([pattern])

    if allowed:
        egress.check(target)
    else:
        with pytest.raises(EgressError):
            egress.check(target)


@pytest.mark.parametrize("pattern", ["", "*", "*.", "a b", "ex*mple.com", "host:port", "a/b c"])
def test_a_pattern_that_is_no_host_is_named_in_the_error(pattern: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a host") as caught:
        Egress([pattern])

    assert repr(pattern) in str(caught.value)


@given(st.text(max_size=40))
def test_any_text_is_refused_or_names_this_machine(text: str) -> None:
    try:
        Egress().check(text)
    except EgressError:
        return
    assert "localhost" in text.lower() or any(mark in text for mark in ("127.", "::", "0.0.0.0"))


@given(st.ip_addresses())
def test_of_all_addresses_only_those_of_this_machine_pass(address) -> None:
    mapped = getattr(address, "ipv4_mapped", None) or address

    assert Egress().allows(str(address)) == (mapped.is_loopback or mapped.is_unspecified)


@pytest.fixture
def listener() -> Iterator[tuple[str, int]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()


def test_inside_the_guard_a_connection_elsewhere_is_refused_before_it_begins(listener: tuple[str, int]) -> None:
    with Egress().guarding():
        with socket.socket() as sock, pytest.raises(EgressError, match=TEST_NET):
            sock.connect((TEST_NET, 80))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, pytest.raises(EgressError):
            sock.sendto(b"x", (TEST_NET, 53))
        with pytest.raises(EgressError, match=r"public\.example"):
            socket.getaddrinfo("public.example", 80)
        with pytest.raises(EgressError):
            socket.gethostbyname("public.example")
        with socket.create_connection(listener, timeout=5):
            pass


def test_outside_the_guard_the_rest_of_the_program_connects_as_it_likes() -> None:
    refused: list[BaseException] = []

    def elsewhere() -> None:
        try:
            with socket.socket() as sock:
                sock.setblocking(False)
                sock.connect((TEST_NET, 9))
        except BlockingIOError:
            pass  # it was let go
        except OSError:
            pass  # no route from here, which is the network's answer and not ours
        except EgressError as error:
            refused.append(error)

    with Egress().guarding():
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    elsewhere()

    assert refused == []


async def test_tasks_started_inside_are_guarded_and_others_are_not() -> None:
    async def connect() -> BaseException | None:
        try:
            with socket.socket() as sock:
                sock.setblocking(False)
                sock.connect((TEST_NET, 9))
        except (OSError, EgressError) as error:
            return error
        return None

    outside = asyncio.create_task(connect())
    with Egress().guarding():
        inside = asyncio.create_task(connect())

    assert isinstance(await inside, EgressError)
    assert not isinstance(await outside, EgressError)


async def test_a_lookup_in_a_thread_of_the_context_executor_is_guarded() -> None:
    loop = asyncio.get_running_loop()
    with ContextExecutor(1) as executor, Egress().guarding(), pytest.raises(EgressError, match=r"public\.example"):
        await loop.run_in_executor(executor, socket.getaddrinfo, "public.example", 80)


def test_a_unix_socket_is_no_egress() -> None:
    with Egress().guarding(), socket.socket(socket.AF_UNIX) as sock, pytest.raises(FileNotFoundError):
        sock.connect("/nowhere/at/all.sock")


def test_a_refusal_is_found_behind_what_a_library_made_of_it() -> None:
    refusal = EgressError("example.com")
    wrapped = RuntimeError("library")
    wrapped.__cause__ = ExceptionGroup("several", [OSError("x"), refusal])

    assert egress_error_in(wrapped) is refusal
    assert egress_error_in(OSError("x")) is None


GUARDED = """
import socket, sys, threading
from localassist.egress import Egress, guard_process
from localassist.errors import EgressError
guard_process(Egress(sys.argv[1:]))
"""


def run_guarded(code: str, *allow: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", GUARDED + code, *allow], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_guarded_process_refuses_in_every_thread_and_under_every_library() -> None:
    code = """
import asyncio, httpx, urllib.request
def refused(act):
    try:
        act()
    except BaseException as error:
        from localassist.egress import egress_error_in
        cause = getattr(error, "reason", None)
        print(type(egress_error_in(error) or egress_error_in(cause)).__name__)
refused(lambda: urllib.request.urlopen("http://public.example/", timeout=5))
refused(lambda: httpx.get("http://192.0.2.1/", timeout=5, trust_env=False))
async def fetch():
    async with httpx.AsyncClient(trust_env=False) as client:
        await client.get("https://public.example/")
refused(lambda: asyncio.run(fetch()))
thread = threading.Thread(target=refused, args=[lambda: socket.create_connection(("192.0.2.1", 80))])
thread.start(); thread.join()
"""

    assert run_guarded(code).split() == ["EgressError"] * 4


def test_the_addresses_of_an_allowed_name_may_be_connected_to_and_no_others() -> None:
    code = """
import localassist.egress as egress
original = egress.socket.getaddrinfo
print(original is not socket._socket.getaddrinfo)
answers = {"named.example": "192.0.2.7"}
def attempt(address, port=80):
    with socket.socket() as sock:
        sock.setblocking(False)
        try:
            sock.connect((address, port))
        except OSError:
            print("let go")
        except EgressError:
            print("refused")
attempt("192.0.2.7")
egress._addresses["192.0.2.7", 80] = None
attempt("192.0.2.7"); attempt("192.0.2.7", 81); attempt("192.0.2.8")
"""

    assert run_guarded(code, "named.example").splitlines() == ["True", "refused", "let go", "refused", "refused"]


def test_a_lookup_of_an_allowed_name_is_remembered_and_answers_as_before() -> None:
    code = """
import localassist.egress as egress
host = socket.gethostname()
guard_process(Egress([host]))
found = socket.getaddrinfo(host, 4321, type=socket.SOCK_STREAM)
print(all((egress._normal(a[4][0]), 4321) in egress._addresses for a in found) and bool(found))
"""

    assert run_guarded(code, "named.example").strip() == "True"
