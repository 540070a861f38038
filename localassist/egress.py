"""Which hosts may be contacted; everything else is refused before a socket opens.

Two layers. The parts that make connections ask `Egress.check` themselves, by name. Behind them stands a guard that sees
every lookup and every connection made by Python code, whichever library makes it, through the interpreter's audit
events. An audit hook can never be removed and sees the whole program, so the guard acts only where it was asked to:

- `guard_process`, for a process that is ours alone, such as `localassist serve`: every thread and task of it;
- `Egress.guarding`, for an engine inside somebody else's program: the tasks and threads started inside the block. The
  rest of the program connects as it likes.

asyncio looks names up in threads that do not inherit the context of the task. An engine that owns its event loop gives
it a `ContextExecutor`; on a borrowed loop such a lookup goes unseen, but the connection behind it is refused.

Not seen: sockets that C libraries open themselves (libpq, c-ares, uvloop), and child processes.
"""

import contextvars
import ipaddress
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, ParamSpec, TypeVar
from urllib.parse import urlsplit

from localassist.errors import ConfigurationError, EgressError

P = ParamSpec("P")
T = TypeVar("T")

_MAX_ADDRESSES: Final = 4096
_LOOKUPS: Final = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})
_SENDS: Final = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_INTERNET: Final = frozenset({socket.AF_INET, socket.AF_INET6})


class Egress:
    """The hosts that may be contacted: this machine, and those that were named.

    A pattern is a host name, an address, or `*.example.com` (every name below `example.com`, not itself), each with
    `:port` behind it or not. Names are compared whole, without regard to case; nothing is looked up.
    """

    def __init__(self, allow_hosts: Sequence[str] = ()) -> None:
        """Read the patterns.

        Raises:
            ConfigurationError: a pattern is not a host.
        """
        self.allow_hosts = tuple(allow_hosts)
        self._patterns = [_pattern(text) for text in self.allow_hosts]

    def allows(self, host: str, port: int | None = None) -> bool:
        """Tell whether `host` may be contacted, at `port` if one is given."""
        host = _normal(host)
        if not host:
            return False
        if _is_this_machine(host):
            return True
        return any(
            (host.endswith(name[1:]) if name.startswith("*.") else host == name) and wanted in {None, port or wanted}
            for name, wanted in self._patterns
        )

    def check(self, url_or_host: str) -> None:
        """Let an allowed URL, host or `host:port` pass.

        Raises:
            EgressError: it is not allowed, or cannot be read as a host.
        """
        try:
            host, port = _host_and_port(url_or_host)
        except ValueError as error:
            raise EgressError(url_or_host) from error
        if not self.allows(host, port):
            raise EgressError(host or url_or_host)

    @contextmanager
    def guarding(self) -> Iterator[None]:
        """Refuse every other host to what runs in this context: this task, and tasks and copies of it made inside."""
        _install(self)
        token = _scoped.set(self)
        try:
            yield
        finally:
            _scoped.reset(token)

    @property
    def names_public_hosts(self) -> bool:
        """Whether a name, rather than an address, was allowed."""
        return any(not _is_address(name) for name, _ in self._patterns)


class ContextExecutor(ThreadPoolExecutor):
    """Threads that work in the context of whoever gave them the work: the guard reaches into them."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run `fn` in a thread, in a copy of the caller's context."""
        return super().submit(partial(contextvars.copy_context().run, fn, *args, **kwargs))


def guard_process(egress: Egress) -> None:
    """Refuse every other host to the whole process, from now on; a second call replaces the list."""
    global _process
    _install(egress)
    _process = egress


def egress_error_in(error: BaseException | None) -> EgressError | None:
    """Find the refusal behind an error that a library made of it, or None."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        found = waiting.pop()
        if found is None or id(found) in seen:
            continue
        if isinstance(found, EgressError):
            return found
        seen.add(id(found))
        waiting += [found.__cause__, found.__context__]
        if isinstance(found, BaseExceptionGroup):
            waiting += found.exceptions
    return None


# ---- reading hosts


def _pattern(text: str) -> tuple[str, int | None]:
    """Read one entry of the list: the host or `*.suffix`, and the port if it names one.

    Raises:
        ConfigurationError: it is not a host.
    """
    try:
        host, port = _host_and_port(text.strip())
    except ValueError as error:
        raise ConfigurationError(f"allow_hosts: {text!r} is not a host: {error}.") from error
    path = "://" not in text and "/" in text
    if not host or path or any(c in host for c in "/ \\@") or "*" in host.removeprefix("*.") or host == "*.":
        raise ConfigurationError(
            f"allow_hosts: {text!r} is not a host. Allowed: a name, an address, '*.example.com'; with ':port' or not."
        )
    return _normal(host), port if "://" not in text else None


def _host_and_port(text: str) -> tuple[str, int | None]:
    """Split a URL, a host, `host:port`, `[v6]:port` or a bare IPv6 address."""
    if "://" not in text:
        if _is_address(text):
            return text, None
        text = f"//{text}"
    parts = urlsplit(text)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.hostname or "", port


def _normal(host: str) -> str:
    """Write a host in the one form that is compared: lower case, no final dot, addresses in short form."""
    host = host.strip().strip("[]").rstrip(".").lower()
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _is_this_machine(host: str) -> bool:
    """Tell whether a normal host is loopback, or the unspecified address, which the kernel takes for it."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


# ---- the guard

_scoped: contextvars.ContextVar[Egress | None] = contextvars.ContextVar("localassist_egress", default=None)
_process: Egress | None = None
_installed = False
_recording = False
_install_lock = threading.Lock()
_known: list[Egress] = []  # every list that ever guarded something: whose names the recorder remembers
_addresses: dict[tuple[str, int], None] = {}  # address and port (0: any) of allowed names, oldest first


def _install(egress: Egress) -> None:
    """Put the hook in place, once; and the recorder, the first time that a public name is allowed."""
    global _installed, _recording
    with _install_lock:
        if not _installed:
            sys.addaudithook(_audit)
            _installed = True
        if egress.names_public_hosts:
            if not any(egress is known for known in _known):
                _known.append(egress)
            if not _recording:
                _record_lookups()
                _recording = True


def _audit(event: str, args: tuple[Any, ...]) -> None:
    """Refuse a lookup or a connection that the list in force does not allow; called for every audit event.

    Raises:
        EgressError: it is not allowed.
    """
    if not event.startswith("socket."):
        return
    egress = _scoped.get() or _process
    if egress is None:
        return
    if event in _LOOKUPS:
        _check_lookup(egress, args)
    elif event in _SENDS and args[0].family in _INTERNET and args[1]:
        host, port = _text(args[1][0]), args[1][1]
        address = _normal(host)
        if not egress.allows(host, port) and _addresses.keys().isdisjoint({(address, port), (address, 0)}):
            raise EgressError(host)


def _check_lookup(egress: Egress, args: tuple[Any, ...]) -> None:
    """Refuse a name that is not allowed; addresses need no lookup and are judged when they are connected to.

    Raises:
        EgressError: the name is not allowed.
    """
    host = _text(args[0])
    if host and not _is_address(host) and not egress.allows(host):
        raise EgressError(host)


def _text(host: object) -> str:
    if isinstance(host, bytes | bytearray):
        return host.decode("ascii", "replace")
    return "" if host is None else str(host)


def _record_lookups() -> None:
    """Remember the addresses of allowed names: a connection shows its address, no longer its name.

    An audit event comes before the lookup, so `socket.getaddrinfo` itself is followed by a line that keeps the answer;
    its behaviour stays what it was. This happens only when a public name is allowed.
    """
    original = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        answer = original(host, *args, **kwargs)
        for *_, address in answer:
            found, port = str(address[0]), int(address[1])
            if any(egress.allows(_text(host), port or None) for egress in _known):
                _addresses[_normal(found), port] = None
        while len(_addresses) > _MAX_ADDRESSES:
            del _addresses[next(iter(_addresses))]
        return answer

    socket.getaddrinfo = getaddrinfo
