"""One vector store in memory: the files that its database rows name, ready to be searched.

The index is derived: prepared content on disk and the list of files give it, so nothing of it is saved. It consists of
immutable blocks, each the merged arrays of some files. A new file becomes a block, and blocks of similar size are
merged, so that there are few of them and each file is copied only a few times. A removed file is masked, and its block
read anew when most of it is dead. A refresh gives a new index and leaves the old one as it was: searches need no lock.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from localassist.retrieval.content import ContentKey, ContentStore
from localassist.retrieval.ingest import read_postings
from localassist.retrieval.lexical import Postings, merge_postings
from localassist.retrieval.model import IndexedFile, StoreFiles, Vectors
from localassist.retrieval.segment import DamagedContentError

_MIN_LIVE_SHARE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Block:
    """The merged arrays of some files, each in its slot.

    Attributes:
        keys: the content key of each slot.
        chunk_slots: `[n_chunks] int32`, ascending.
        chunk_numbers: `[n_chunks] int32`, the number of the chunk in its file.
        chunk_spans: `[n_chunks, 2] int64`, characters in the file's text.
        chunk_bytes: `[n_chunks, 2] int64`, the same in bytes of UTF-8.
        chunk_windows: `[n_chunks, 2] int64`, its windows, as rows of this block.
        chunk_subs: `[n_chunks, 2] int64`, its sub-windows, as rows of the file's own segment, where they stay.
        window_slots: `[n_windows] int32`, ascending.
        chunk_postings: the terms of the chunks.
        window_postings: the terms of the windows.
        window_vectors: `[n_windows, dim] float32`, rows of length 1.
    """

    keys: tuple[ContentKey, ...]
    chunk_slots: NDArray[np.int32]
    chunk_numbers: NDArray[np.int32]
    chunk_spans: NDArray[np.int64]
    chunk_bytes: NDArray[np.int64]
    chunk_windows: NDArray[np.int64]
    chunk_subs: NDArray[np.int64]
    window_slots: NDArray[np.int32]
    chunk_postings: Postings
    window_postings: Postings
    window_vectors: Vectors

    @property
    def n_chunks(self) -> int:
        """Count the chunks, dead ones too."""
        return len(self.chunk_slots)


@dataclass(frozen=True, slots=True)
class LiveBlock:
    """A block and what a store makes of it.

    Attributes:
        block: the arrays.
        files: the file of each slot; None if it was removed from the store.
        positions: `[n_slots] int64`, the place of each slot's file in the store's list.
        live_chunks: `[n_chunks] bool`, which chunks are of files that are there; None for all.
        live_windows: `[n_windows] bool`, likewise.
    """

    block: Block
    files: tuple[IndexedFile | None, ...]
    positions: NDArray[np.int64]
    live_chunks: NDArray[np.bool_] | None
    live_windows: NDArray[np.bool_] | None


@dataclass(frozen=True, slots=True)
class StoreIndex:
    """A vector store at one version: all that a search needs but the sub-windows and the texts.

    `missing` says, by content key, why a file of the store cannot be searched.
    """

    store_id: str
    version: int
    blocks: tuple[LiveBlock, ...] = ()
    missing: tuple[tuple[str, str], ...] = ()


ReadBlock = Callable[[str], Block]
"""A content key to the block of its one file; raises `DamagedContentError`."""


def refresh(index: StoreIndex | None, store: StoreFiles, *, read: ReadBlock) -> StoreIndex:
    """Give the index of a store as it is now, from an earlier one and the contents of the files that are new."""
    wanted = {(file.file_id, file.content_key): (i, file) for i, file in enumerate(store.load())}
    blocks = []
    for old in index.blocks if index else ():
        live = _relabel(old.block, [_claim(wanted, file) for file in old.files])
        if live.live_chunks is None or live.live_chunks.sum() > _MIN_LIVE_SHARE * old.block.n_chunks:
            blocks.append(live)
        else:  # mostly dead: its living files are read again
            wanted |= {(f.file_id, f.content_key): (int(live.positions[s]), f) for s, f in enumerate(live.files) if f}
    read_blocks, missing = _read_all(wanted.values(), read=read)
    if read_blocks:
        blocks.append(_merge_live(read_blocks))
    return StoreIndex(store.store_id, store.version, tuple(_merge_similar(blocks)), tuple(missing))


def content_reader(content: ContentStore, *, embedder_name: str) -> ReadBlock:
    """Read blocks from prepared content that was made with one embedder."""

    def read(key: str) -> Block:
        names = ContentKey.parse(key)
        chunks = content.open(names.chunks_name)
        if chunks.meta["embedder"] != embedder_name:
            made_by = chunks.meta["embedder"]
            raise DamagedContentError(chunks.path, f"was made with the embedder {made_by!r}, not {embedder_name!r}")
        vectors = np.array(content.open(names.vectors_name).array("window_vectors"))
        n_chunks, n_windows = len(chunks.array("spans")), len(vectors)
        return Block(
            keys=(names,),
            chunk_slots=np.zeros(n_chunks, dtype=np.int32),
            chunk_numbers=np.arange(n_chunks, dtype=np.int32),
            chunk_spans=np.array(chunks.array("spans")),
            chunk_bytes=np.array(chunks.array("bytes")),
            chunk_windows=np.array(chunks.array("windows")),
            chunk_subs=np.array(chunks.array("subs")),
            window_slots=np.zeros(n_windows, dtype=np.int32),
            chunk_postings=_copied(read_postings("chunk", chunks)),
            window_postings=_copied(read_postings("window", chunks)),
            window_vectors=vectors,
        )

    return read


def merge_blocks(blocks: Sequence[Block]) -> Block:
    """Make one block of several, slots and rows in their order."""
    first_slots = np.cumsum([0, *(len(block.keys) for block in blocks)])
    first_windows = np.cumsum([0, *(len(block.window_slots) for block in blocks)])
    shifted = list(zip(blocks, first_slots.tolist(), first_windows.tolist(), strict=False))
    return Block(
        keys=tuple(key for block in blocks for key in block.keys),
        chunk_slots=np.concatenate([block.chunk_slots + np.int32(slot) for block, slot, _ in shifted]),
        chunk_numbers=np.concatenate([block.chunk_numbers for block in blocks]),
        chunk_spans=np.concatenate([block.chunk_spans for block in blocks]),
        chunk_bytes=np.concatenate([block.chunk_bytes for block in blocks]),
        chunk_windows=np.concatenate([block.chunk_windows + window for block, _, window in shifted]),
        chunk_subs=np.concatenate([block.chunk_subs for block in blocks]),
        window_slots=np.concatenate([block.window_slots + np.int32(slot) for block, slot, _ in shifted]),
        chunk_postings=merge_postings([block.chunk_postings for block in blocks]),
        window_postings=merge_postings([block.window_postings for block in blocks]),
        window_vectors=np.concatenate([block.window_vectors for block in blocks]),
    )


def _claim(
    wanted: dict[tuple[str, str], tuple[int, IndexedFile]], file: IndexedFile | None
) -> tuple[int, IndexedFile] | None:
    return wanted.pop((file.file_id, file.content_key), None) if file else None


def _relabel(block: Block, claims: Sequence[tuple[int, IndexedFile] | None]) -> LiveBlock:
    """Let the slots of a block stand for these files, at these positions; a slot without a claim is dead."""
    live_slots = np.array([claim is not None for claim in claims], dtype=np.bool_)
    whole = bool(live_slots.all())
    return LiveBlock(
        block=block,
        files=tuple(claim[1] if claim else None for claim in claims),
        positions=np.array([claim[0] if claim else 0 for claim in claims], dtype=np.int64),
        live_chunks=None if whole else live_slots[block.chunk_slots],
        live_windows=None if whole else live_slots[block.window_slots],
    )


def _read_all(
    files: Iterable[tuple[int, IndexedFile]], *, read: ReadBlock
) -> tuple[list[LiveBlock], list[tuple[str, str]]]:
    blocks, missing = [], []
    for position, file in files:
        try:
            block = read(file.content_key)
        except DamagedContentError as error:
            missing.append((file.content_key, str(error)))
        else:
            blocks.append(_relabel(block, [(position, file)]))
    return blocks, missing


def _merge_similar(blocks: Sequence[LiveBlock]) -> list[LiveBlock]:
    """Merge from the back until each block is more than twice as large as the next."""
    kept = list(blocks)
    while len(kept) > 1 and kept[-2].block.n_chunks <= 2 * kept[-1].block.n_chunks:
        kept[-2:] = [_merge_live(kept[-2:])]
    return kept


def _merge_live(blocks: Sequence[LiveBlock]) -> LiveBlock:
    if len(blocks) == 1:
        return blocks[0]
    files = [file for live in blocks for file in live.files]
    positions = np.concatenate([live.positions for live in blocks]).tolist()
    merged = merge_blocks([live.block for live in blocks])
    return _relabel(merged, [(at, file) if file else None for at, file in zip(positions, files, strict=True)])


def _copied(postings: Postings) -> Postings:
    """Copy out of the mapped file, so that it need not stay open."""
    return replace(postings, **{name: np.array(getattr(postings, name)) for name in Postings.__slots__})
