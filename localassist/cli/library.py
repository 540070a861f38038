"""The vector stores of the command line: which files they hold, and what has to change.

The default store is what `add` fills. `ask`, `search` and `chat` with paths keep a store for each set of paths, so that
the answer comes from these files only; content that any store has seen before is not embedded again.
"""

import hashlib
import logging
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from localassist.cli.paths import LocalFile, is_gone, written

if TYPE_CHECKING:
    from localassist.local import OpenAI

DEFAULT_STORE: Final = "default"
_OWNER: Final = "localassist-cli"
_BATCH_FILES: Final = 200
_POLL_S: Final = 0.05
_MAX_ATTRIBUTE: Final = 512
_GONE_WRONG: Final = frozenset({"failed", "cancelled"})

_log = logging.getLogger(__name__)


class IndexingInterrupted(KeyboardInterrupt):
    """Ctrl-C while files were indexed; says how many of them are done, and kept."""

    def __init__(self, n_done: int) -> None:
        kept = f"{n_done:,} of the files {'is' if n_done == 1 else 'are'} indexed and kept" if n_done else "Nothing is"
        super().__init__(f"{kept}{'' if n_done else ' indexed yet'}; the same command goes on from there.")


@dataclass(frozen=True, slots=True)
class Held:
    """A file that a store holds: where it came from, and what became of it."""

    file_id: str
    path: str
    sha256: str
    status: str
    error: str | None = None
    n_pages: int = 0
    n_tokens: int = 0
    n_chunks: int = 0
    reused_vectors: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What makes a store hold the local files: what goes, what comes, what is there already.

    `duplicates` are files whose content another file of the store has; `n_removed` of those that go are neither
    replaced nor failures of an earlier time.
    """

    remove: Sequence[Held]
    add: Sequence[LocalFile]
    keep: Sequence[Held]
    duplicates: Sequence[LocalFile] = ()
    n_removed: int = 0


@dataclass(slots=True)
class SyncReport:
    """What became of a synchronisation."""

    store_id: str
    added: list[Held] = field(default_factory=list)
    failed: list[Held] = field(default_factory=list)
    n_kept: int = 0
    n_duplicates: int = 0
    n_removed: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    """How many files of the folders were skipped, by kind."""
    paths: dict[str, str] = field(default_factory=dict)
    """The path of every file of the store, by file id."""


class Watcher(Protocol):
    """Hears how far the files are."""

    def begins(self, files: Mapping[str, LocalFile]) -> None:
        """Take the files that are about to be indexed, by file id."""
        ...

    def finished(self, file: Held) -> None:
        """Take a file that is done or has failed."""
        ...


def plan(
    local: Sequence[LocalFile], held: Sequence[Held], *, only_these: bool, gone: Collection[str] = frozenset()
) -> Plan:
    """Compare the local files with those of a store.

    A path whose content changed, or whose file failed before, is replaced. The same content is held once, whatever its
    paths. Held files that are not among the local ones go if their path is `gone`, and all of them with `only_these`.
    """
    wanted = {_key(file.path): file for file in local}

    def is_stale(h: Held) -> bool:
        if h.path in wanted:
            return h.status in _GONE_WRONG or wanted[h.path].sha256 != h.sha256
        return only_these or h.path in gone

    stale = [h for h in held if is_stale(h)]
    keep = [h for h in held if h not in stale]
    known = {h.sha256 for h in keep if h.status not in _GONE_WRONG}
    kept_paths = {h.path for h in keep}
    add, duplicates = [], []
    for file in wanted.values():
        if file.sha256 not in known:
            known.add(file.sha256)
            add.append(file)
        elif _key(file.path) not in kept_paths:
            duplicates.append(file)
    n_removed = sum(h.path not in wanted and h.status not in _GONE_WRONG for h in stale)
    return Plan(stale, add, keep, duplicates, n_removed)


class Library:
    """The command line's stores in one home."""

    def __init__(self, client: "OpenAI") -> None:
        self._client = client

    def named(self, name: str, *, create: bool = False) -> str | None:
        """Give the id of the store of this name; None when there is none and it shall not be made."""
        return self._find({"owner": _OWNER, "store": name}, name, create=create)

    def for_paths(self, paths: Iterable[Path]) -> str:
        """Give the id of the store of these paths; makes it if there is none."""
        return self._of_paths(paths, create=True) or ""

    def known_for_paths(self, paths: Iterable[Path]) -> str | None:
        """Give the id of the store of these paths, or None."""
        return self._of_paths(paths, create=False)

    def stores(self) -> dict[str, str]:
        """Give the names of the command line's stores by id."""
        stores = self._client.vector_stores.list(limit=100)
        return {store.id: store.name or store.id for store in stores if (store.metadata or {}).get("owner") == _OWNER}

    def held(self, store_id: str) -> list[Held]:
        """List the files of a store."""
        found = []
        for file in self._client.vector_stores.files.list(store_id, limit=100, order="asc"):
            attributes = file.attributes or {}
            report = getattr(file, "report", None) or {}
            found.append(
                Held(
                    file.id,
                    str(attributes.get("path", file.id)),
                    str(attributes.get("sha256", "")),
                    file.status,
                    file.last_error.message if file.last_error else None,
                    n_pages=report.get("pages", 0),
                    n_tokens=report.get("tokens", 0),
                    n_chunks=report.get("chunks", 0),
                    reused_vectors=report.get("reused_vectors", False),
                )
            )
        return found

    def sync(
        self,
        store_id: str,
        local: Sequence[LocalFile],
        watcher: Watcher,
        *,
        only_these: bool,
        folders: Sequence[Path] = (),
    ) -> SyncReport:
        """Make a store hold the local files, and no longer what is gone from `folders`; wait until they are indexed.

        Raises:
            IndexingInterrupted: Ctrl-C; files that are done are kept, the others are taken back.
        """
        held = self.held(store_id)
        gone = {h.path for h in held if is_gone(h.path, folders)}
        todo = plan(local, held, only_these=only_these, gone=gone)
        for stale in todo.remove:
            self.remove(stale.file_id)
        wanted = {_key(file.path) for file in local}
        waiting = {h.file_id for h in todo.keep if h.status == "in_progress" and h.path in wanted}
        try:
            self._upload(store_id, todo.add, watcher, waiting)
            self._wait(store_id, waiting, watcher)
        except KeyboardInterrupt:
            raise IndexingInterrupted(self._take_back(store_id, waiting)) from None
        now = self.held(store_id)
        n_kept = sum(h.path in wanted and h.file_id not in waiting for h in todo.keep)
        report = SyncReport(store_id, n_kept=n_kept, n_duplicates=len(todo.duplicates), n_removed=todo.n_removed)
        report.added = [h for h in now if h.file_id in waiting and h.status == "completed"]
        report.failed = [h for h in now if h.file_id in waiting and h.status != "completed"]
        report.paths = {h.file_id: h.path for h in now}
        return report

    def remove(self, file_id: str) -> None:
        """Delete a file, and with it its places in stores."""
        self._client.files.delete(file_id)

    def drop_if_empty(self, store_id: str) -> bool:
        """Delete a store that holds no file that is indexed or will be; tell whether it was so."""
        counts = self._client.vector_stores.retrieve(store_id).file_counts
        if counts.completed or counts.in_progress:
            return False
        self.forget(store_id)
        return True

    def forget(self, store_id: str) -> int:
        """Delete a store with all of its files; give their number."""
        held = self.held(store_id)
        for file in held:
            self.remove(file.file_id)
        self._client.vector_stores.delete(store_id)
        return len(held)

    def _of_paths(self, paths: Iterable[Path], *, create: bool) -> str | None:
        places = sorted({str(path.expanduser().absolute()) for path in paths})
        digest = hashlib.sha256("\n".join(places).encode("utf-8", "surrogateescape")).hexdigest()
        name = ", ".join(written(place) for place in places)[:256]
        return self._find({"owner": _OWNER, "paths": digest}, name, create=create)

    def _find(self, metadata: dict[str, str], name: str, *, create: bool) -> str | None:
        for store in self._client.vector_stores.list(limit=100):
            if store.metadata == metadata and store.status != "expired":
                return store.id
        return self._client.vector_stores.create(name=name, metadata=metadata).id if create else None

    def _take_back(self, store_id: str, file_ids: Collection[str]) -> int:
        """Remove those of the files that are not indexed; give the number of the others."""
        done = {h.file_id for h in self.held(store_id) if h.status == "completed"} & set(file_ids)
        for file_id in set(file_ids) - done:
            self.remove(file_id)
        return len(done)

    def _upload(self, store_id: str, files: Sequence[LocalFile], watcher: Watcher, uploaded: set[str]) -> None:
        """Upload files and put them into a store; `uploaded` grows by each file as soon as it is there."""
        for first in range(0, len(files), _BATCH_FILES):
            batch: dict[str, LocalFile] = {}
            for file in files[first : first + _BATCH_FILES]:
                file_id = self._upload_one(file)
                uploaded.add(file_id)
                batch[file_id] = file
            watcher.begins(batch)
            self._client.vector_stores.file_batches.create(
                store_id,
                files=[
                    {"file_id": file_id, "attributes": {"path": _key(file.path), "sha256": file.sha256}}
                    for file_id, file in batch.items()
                ],
            )
            _log.info("%d files are queued to be indexed.", len(batch))

    def _upload_one(self, file: LocalFile) -> str:
        with file.path.open("rb") as content:
            return self._client.files.create(file=(written(file.path.name), content), purpose="assistants").id

    def _wait(self, store_id: str, waiting: Collection[str], watcher: Watcher) -> None:
        pause, told = threading.Event(), set[str]()
        n_open = -1
        while len(told) < len(waiting):
            counts = self._client.vector_stores.retrieve(store_id).file_counts
            if counts.in_progress != n_open:
                n_open = counts.in_progress
                for held in self.held(store_id):
                    if held.file_id in waiting and held.file_id not in told and held.status != "in_progress":
                        told.add(held.file_id)
                        watcher.finished(held)
                if n_open == 0:
                    return
            pause.wait(_POLL_S)


def _key(path: Path) -> str:
    """Write a path as an attribute: the API's attributes hold 512 characters, so a longer path loses its beginning."""
    return written(path)[-_MAX_ATTRIBUTE:]
