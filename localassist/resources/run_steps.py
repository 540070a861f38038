"""Run steps: retrieve, list."""

from typing import Any

from localassist.resources import found
from localassist.store import runs as rows
from localassist.store.database import Connection, Database
from localassist.store.pages import PageQuery
from localassist.types.common import ListPage
from localassist.types.run_step import RunStep


class RunSteps:
    """What can be done with the steps of a run. A step is given as the JSON that the API shows."""

    def __init__(self, *, db: Database) -> None:
        self._db = db

    async def retrieve(self, thread_id: str, run_id: str, step_id: str, *, with_content: bool) -> dict[str, Any]:
        """Read a step; the text of search results only `with_content`.

        Raises:
            NotFoundError: there is no such thread, run or step.
        """
        step = await self._db.read(lambda conn: found.step(conn, thread_id, run_id, step_id))
        return step.shown(with_content=with_content)

    async def list(self, thread_id: str, run_id: str, q: PageQuery, *, with_content: bool) -> ListPage[dict[str, Any]]:
        """Read a page of a run's steps; the text of search results only `with_content`.

        Raises:
            NotFoundError: there is no such thread or run.
        """

        def read(conn: Connection) -> ListPage[RunStep]:
            found.run(conn, thread_id, run_id)
            return rows.list_steps_page(conn, run_id, q)

        page = await self._db.read(read)
        shown = [step.shown(with_content=with_content) for step in page.data]
        return ListPage[dict[str, Any]](
            data=shown, first_id=page.first_id, last_id=page.last_id, has_more=page.has_more
        )
