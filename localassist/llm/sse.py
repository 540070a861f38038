"""Server-sent events as they come off a socket: bytes in, the data of whole events out."""

from typing import Final

from localassist.errors import ModelError

MAX_EVENT_BYTES: Final = 32 * 1024 * 1024


class EventBuffer:
    """Cuts a byte stream into events. Pieces may end anywhere, inside a character too.

    Comments, event names, ids and retry times are passed over: chat completions use none. Lines end with LF, CRLF or
    CR.

    Source:
        WHATWG, "HTML Standard", section 9.2.6, "Interpreting an event stream", https://html.spec.whatwg.org.
    """

    def __init__(self) -> None:
        self._tail = bytearray()
        self._data: list[bytes] = []
        self._n_waiting = 0
        self._after_cr = False
        self.other = b""
        """The beginning of what came and was no event: an error page, for instance. At most 2,000 bytes."""

    def feed(self, piece: bytes) -> list[bytes]:
        """Take the next bytes and give the data of the events that they complete.

        Raises:
            ModelError: one event grows beyond 32 MiB.
        """
        if b"\r" in piece or self._after_cr:
            piece = self._with_line_feeds(piece)
        if b"\n" not in piece:
            self._tail += piece
            self._limit(len(self._tail))
            return []
        lines = (bytes(self._tail) + piece).split(b"\n") if self._tail else piece.split(b"\n")
        self._tail = bytearray(lines.pop())
        return self._events(lines)

    def finish(self) -> list[bytes]:
        """Give the event that the end of the stream completes, for servers that leave out its last empty line."""
        last, self._tail = bytes(self._tail), bytearray()
        return self._events([last, b""])

    def _events(self, lines: list[bytes]) -> list[bytes]:
        events = []
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
                self._n_waiting += len(line)
                self._limit(self._n_waiting)
            elif not line:
                if self._data:
                    events.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                    self._data = []
                    self._n_waiting = 0
            elif not line.startswith((b":", b"event:", b"id:", b"retry:")) and len(self.other) < 2_000:
                self.other = (self.other + line + b"\n")[:2_000]
        return events

    def _with_line_feeds(self, piece: bytes) -> bytes:
        """Write CRLF and CR as LF, also where a piece ends between the two."""
        if self._after_cr and piece.startswith(b"\n"):
            piece = piece[1:]
            self._after_cr = not piece
        if piece:
            self._after_cr = piece.endswith(b"\r")
        return piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    @staticmethod
    def _limit(n_bytes: int) -> None:
        if n_bytes > MAX_EVENT_BYTES:
            raise ModelError(f"The model server sent one event of more than {MAX_EVENT_BYTES} bytes.")
