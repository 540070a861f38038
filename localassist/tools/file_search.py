"""`file_search`: retrieve, number the sources, record the results."""

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

from localassist.retrieval.cite import FIRST_CALL, Source, numbered
from localassist.retrieval.model import Hit, Page
from localassist.tools.base import (
    JSONObject,
    ToolArgumentsError,
    ToolContext,
    ToolOutput,
    parse_arguments,
)
from localassist.types.assistant import FileSearchOptions, FileSearchTool
from localassist.types.run import Run
from localassist.types.run_step import (
    FileSearch,
    FileSearchRankingOptions,
    FileSearchResult,
    FileSearchToolCall,
    StepToolCall,
)
from localassist.types.vector_store import TextContent

MAX_QUERIES = 5
DEFAULT_RESULTS = 20
"""Source: published reference, "File search": 20 for the gpt-4 family and the o series."""

NOTHING_FOUND = "No passage in the files matches these queries."

CITE = (
    "Cite every passage you use: directly behind the statement, copy the mark that stands before the passage, "
    "exactly as it is, for example 【4:0†report.pdf】. Never invent a mark."
)
"""What a model is told of marks, whether it searches itself or is given the results."""


class Searcher(Protocol):
    """Finds passages in the vector stores that a run may search."""

    async def __call__(self, run: Run, queries: Sequence[str], *, limit: int, score_threshold: float) -> Sequence[Hit]:
        """Give the best passages, best first.

        Raises:
            ToolUnusableError: a vector store of the run has expired.
        """
        ...


class FileSearchCaller:
    """Search the files of the assistant and the thread."""

    name: ClassVar[str] = "file_search"
    description: ClassVar[str] = (
        "Search the user's files and get the best passages, each under a mark. Use it whenever the files may hold the "
        "answer. Split a question that asks for several things into several queries, and write each query as a full "
        f"phrase in the language of the files. {CITE}"
    )
    parameters: ClassVar[JSONObject] = {
        "type": "object",
        "properties": {
            "queries": {
                "type": "array",
                "items": {"type": "string"},
                "minItems": 1,
                "maxItems": MAX_QUERIES,
                "description": "One to five things to look for, each in plain words.",
            }
        },
        "required": ["queries"],
    }

    def __init__(self, search: Searcher) -> None:
        self._search = search

    def announce(self, context: ToolContext) -> dict[str, Any]:
        """Give the call as the stream first shows it: no results yet."""
        shown = {"ranking_options": _ranking(context.run).model_dump(), "results": []}
        return {"id": context.call_id, "type": self.name, self.name: shown}

    async def call(self, arguments: str, context: ToolContext) -> ToolOutput:
        """Show the best passages to the model under their marks, and keep them as sources.

        Wrong arguments are an answer to the model, which may call again.

        Raises:
            ToolUnusableError: a vector store of the run has expired.
        """
        ranking = _ranking(context.run)
        try:
            queries = _queries(arguments)
        except ToolArgumentsError as error:
            return ToolOutput(
                str(error), FileSearchToolCall(id=context.call_id, file_search=FileSearch(ranking_options=ranking))
            )
        hits = await self._search(
            context.run,
            queries,
            limit=_options(context.run).max_num_results or DEFAULT_RESULTS,
            score_threshold=ranking.score_threshold,
        )
        record = FileSearchToolCall(
            id=context.call_id,
            file_search=FileSearch(ranking_options=ranking, results=[_result(h) for h in hits], queries=list(queries)),
        )
        return _output(record, context.n_earlier_calls)

    def replay(self, record: StepToolCall, n_earlier_calls: int) -> ToolOutput | None:
        """Number a recorded call's results as they were numbered then."""
        return _output(record, n_earlier_calls) if isinstance(record, FileSearchToolCall) else None


def _queries(arguments: str) -> list[str]:
    """Read one to five queries; a single `query` or a plain string is taken too.

    Raises:
        ToolArgumentsError: there is no query.
    """
    given = parse_arguments(arguments)
    queries = given.get("queries", given.get("query"))
    if isinstance(queries, str):
        queries = [queries]
    if not isinstance(queries, list):
        raise ToolArgumentsError('file_search needs {"queries": ["…"]}: one to five queries. Call it again.')
    texts = [q.strip() for q in queries if isinstance(q, str) and q.strip()]
    if not texts:
        raise ToolArgumentsError('file_search was called without a query; give {"queries": ["…"]}. Call it again.')
    return texts[:MAX_QUERIES]


def _options(run: Run) -> FileSearchOptions:
    return next((tool.file_search for tool in run.tools if isinstance(tool, FileSearchTool)), FileSearchOptions())


def _ranking(run: Run) -> FileSearchRankingOptions:
    options = _options(run).ranking_options
    return FileSearchRankingOptions(ranker=options.ranker, score_threshold=options.score_threshold)


def _result(hit: Hit) -> FileSearchResult:
    return FileSearchResult(
        file_id=hit.file_id,
        file_name=hit.file_name,
        score=hit.score,
        attributes=dict(hit.attributes),
        content=[TextContent(text=hit.text)],
        start_index=hit.start,
        pages=[(p.number, p.start, p.end) for p in hit.pages] or None,
    )


def _output(record: FileSearchToolCall, n_earlier_calls: int) -> ToolOutput:
    sources = tuple(
        Source(
            number=f"{FIRST_CALL + n_earlier_calls}:{n}",
            file_id=result.file_id,
            file_name=result.file_name,
            text=result.content[0].text if result.content else "",
            start=result.start_index or 0,
            pages=tuple(Page(*page) for page in result.pages or ()),
        )
        for n, result in enumerate(record.file_search.results)
    )
    return ToolOutput(numbered(sources) or NOTHING_FOUND, record, sources)
