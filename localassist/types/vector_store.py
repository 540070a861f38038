"""Vector stores, their files and batches, and searches in them."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from localassist.types.common import APIObject, Attributes, AttributeValue, Metadata, Params

VectorStoreFileStatus = Literal["in_progress", "completed", "cancelled", "failed"]


class ExpiresAfter(APIObject):
    """When a vector store expires: so many days after it was last used."""

    anchor: Literal["last_active_at"]
    days: Annotated[int, Field(ge=1, le=365)]


class StaticChunking(APIObject):
    """How a text is cut: chunks of 100 to 4,096 tokens, which share at most half with the one before."""

    max_chunk_size_tokens: Annotated[int, Field(ge=100, le=4096)]
    chunk_overlap_tokens: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _overlap_at_most_half(self) -> Self:
        if 2 * self.chunk_overlap_tokens > self.max_chunk_size_tokens:
            raise ValueError(
                f"chunk_overlap_tokens must be at most half of max_chunk_size_tokens "
                f"({self.max_chunk_size_tokens // 2}), but got {self.chunk_overlap_tokens}"
            )
        return self


class StaticFileChunkingStrategy(APIObject):
    """Fixed sizes."""

    type: Literal["static"] = "static"
    static: StaticChunking


class AutoFileChunkingStrategy(APIObject):
    """The API's default: 800 tokens, 400 of them shared with the chunk before."""

    type: Literal["auto"]


ChunkingStrategyParam = Annotated[AutoFileChunkingStrategy | StaticFileChunkingStrategy, Field(discriminator="type")]
AUTO_CHUNKING = StaticFileChunkingStrategy(static=StaticChunking(max_chunk_size_tokens=800, chunk_overlap_tokens=400))
"""What `auto` means, and how it is echoed. Source: recorded traffic of the hosted API."""


class FileCounts(APIObject):
    """Files of a store or batch by status."""

    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    total: int = 0


class VectorStore(APIObject):
    """A vector store."""

    id: str
    object: Literal["vector_store"] = "vector_store"
    created_at: int
    name: str | None = None
    description: str | None = None
    usage_bytes: int = 0
    file_counts: FileCounts = FileCounts()
    status: Literal["expired", "in_progress", "completed"] = "completed"
    expires_after: ExpiresAfter | None = None
    expires_at: int | None = None
    last_active_at: int
    metadata: Metadata = Field(default_factory=dict)


class VectorStoreFileError(APIObject):
    """Why a file could not be indexed."""

    code: Literal["server_error", "unsupported_file", "invalid_file"]
    message: str


class IngestionReport(APIObject):
    """What became of a file, counted. Beyond the API."""

    parser: str
    pages: int
    empty_pages: int
    characters: int
    tokens: int
    chunks: int
    reused_vectors: bool


class VectorStoreFile(APIObject):
    """A file in a vector store; its `id` is the file's id."""

    id: str
    object: Literal["vector_store.file"] = "vector_store.file"
    usage_bytes: int = 0
    created_at: int
    vector_store_id: str
    status: VectorStoreFileStatus = "in_progress"
    last_error: VectorStoreFileError | None = None
    chunking_strategy: StaticFileChunkingStrategy = AUTO_CHUNKING
    attributes: dict[str, AttributeValue] = Field(default_factory=dict)
    report: IngestionReport | None = Field(default=None, exclude_if=lambda value: value is None)
    """Beyond the API: present once the file has been read."""


class VectorStoreFileBatch(APIObject):
    """Files added together."""

    id: str
    object: Literal["vector_store.file_batch"] = "vector_store.file_batch"
    created_at: int
    status: VectorStoreFileStatus = "in_progress"
    vector_store_id: str
    file_counts: FileCounts = FileCounts()


class VectorStoreCreateParams(Params):
    """The body of `POST /vector_stores`."""

    file_ids: Annotated[list[str], Field(max_length=500)] | None = None
    name: str | None = None
    description: str | None = None
    expires_after: ExpiresAfter | None = None
    chunking_strategy: ChunkingStrategyParam | None = None
    metadata: Metadata | None = None


class VectorStoreUpdateParams(Params):
    """The body of `POST /vector_stores/{vector_store_id}`: what is not sent stays as it is."""

    name: str | None = None
    expires_after: ExpiresAfter | None = None
    metadata: Metadata | None = None


class VectorStoreFileCreateParams(Params):
    """The body of `POST /vector_stores/{vector_store_id}/files`, and one entry of a batch."""

    file_id: str
    attributes: Attributes | None = None
    chunking_strategy: ChunkingStrategyParam | None = None


class VectorStoreFileUpdateParams(Params):
    """The body of `POST /vector_stores/{vector_store_id}/files/{file_id}`."""

    attributes: Attributes | None


class FileBatchCreateParams(Params):
    """The body of `POST /vector_stores/{vector_store_id}/file_batches`: `file_ids` or `files`, never both."""

    file_ids: Annotated[list[str], Field(min_length=1, max_length=2000)] | None = None
    files: Annotated[list[VectorStoreFileCreateParams], Field(min_length=1, max_length=2000)] | None = None
    attributes: Attributes | None = None
    chunking_strategy: ChunkingStrategyParam | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.file_ids is None) == (self.files is None):
            raise ValueError("give exactly one of 'file_ids' and 'files'")
        return self


class SearchHybridWeights(Params):
    """Weights of the two rankings; the larger one's share is taken relative to their sum."""

    embedding_weight: Annotated[float, Field(ge=0)]
    text_weight: Annotated[float, Field(ge=0)]


class SearchRankingOptions(Params):
    """How a search ranks."""

    ranker: Literal["none", "auto", "default-2024-11-15"] = "auto"
    score_threshold: Annotated[float, Field(ge=0, le=1)] = 0.0
    hybrid_search: SearchHybridWeights | None = None


class VectorStoreSearchParams(Params):
    """The body of `POST /vector_stores/{vector_store_id}/search`."""

    query: str | Annotated[list[str], Field(min_length=1, max_length=100)]
    rewrite_query: bool = False
    max_num_results: Annotated[int, Field(ge=1, le=50)] = 10
    filters: dict[str, Any] | None = None
    ranking_options: SearchRankingOptions | None = None


class TextContent(APIObject):
    """A passage's text."""

    type: Literal["text"] = "text"
    text: str


class VectorStoreSearchResult(APIObject):
    """One result of a search. `page`, `start_index` and `end_index` are beyond the API.

    `start_index` and `end_index` are the characters of the passage in the file's text.
    """

    file_id: str
    filename: str
    score: float
    attributes: dict[str, AttributeValue]
    content: list[TextContent]
    page: int | None = Field(default=None, exclude_if=lambda value: value is None)
    start_index: int
    end_index: int


class VectorStoreSearchPage(APIObject):
    """The answer of a search."""

    object: Literal["vector_store.search_results.page"] = "vector_store.search_results.page"
    search_query: list[str]
    data: list[VectorStoreSearchResult]
    has_more: bool = False
    next_page: str | None = None


class FileContentPage(APIObject):
    """The text of a file in a vector store."""

    object: Literal["vector_store.file_content.page"] = "vector_store.file_content.page"
    data: list[TextContent]
    has_more: bool = False
    next_page: str | None = None
