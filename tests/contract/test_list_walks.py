"""Every list can be walked with pages of any size, in both directions, while objects come and go."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.conftest import database_of, served
from tests.contract.test_generated_requests import WORLDS
from tests.scripted.server import ScriptedServer, call, text, tool_calls

Json = dict[str, Any]


@dataclass
class Listed:
    """A list that a test fills: its path, how something is added to it, and how that is taken away again."""

    path: str
    add: Callable[[], str]
    remove: Callable[[str], None] | None = None
    ids: list[str] = field(default_factory=list)
    """What is in it, oldest first."""


class Lists:
    """The lists of one server."""

    def __init__(self, http: httpx.Client, script: ScriptedServer) -> None:
        self._http = http
        self._script = script
        self._assistant = self.made("/assistants", json={"model": "m"})["id"]
        self._hello = {"messages": [{"role": "user", "content": "Hi"}]}

    def ask(self, method: str, path: str, **sent: Any) -> Json:
        answer = self._http.request(method, path, **sent)
        assert answer.status_code == 200, answer.text
        body: Json = answer.json()
        return body

    def made(self, path: str, **sent: Any) -> Json:
        return self.ask("POST", path, **sent)

    def fresh(self, kind: str) -> Listed:
        listed: Listed = getattr(self, f"_{kind}")()
        return listed

    def _plain(self, path: str, **sent: Any) -> Listed:
        return Listed(path, lambda: str(self.made(path, **sent)["id"]), lambda id_: self._delete(f"{path}/{id_}"))

    def _delete(self, path: str) -> None:
        assert self.ask("DELETE", path)["deleted"] is True

    def _assistants(self) -> Listed:
        return self._plain("/assistants", json={"model": "m"})

    def _vector_stores(self) -> Listed:
        return self._plain("/vector_stores", json={})

    def _files(self) -> Listed:
        return self._plain("/files", files={"file": ("a.bin", b"a")}, data={"purpose": "user_data"})

    def _messages(self) -> Listed:
        thread = self.made("/threads")["id"]
        return self._plain(f"/threads/{thread}/messages", json={"role": "user", "content": "Hi"})

    def _runs(self) -> Listed:
        thread = self.made("/threads", json=self._hello)["id"]
        path = f"/threads/{thread}/runs"
        self._script.always(text("Hello."))

        def run() -> str:
            asked = {"assistant_id": self._assistant, "stream": True}
            told = self._http.post(path, json=asked).text
            assert "event: thread.run.completed" in told
            return str(self.ask("GET", f"{path}?limit=1")["data"][0]["id"])

        return Listed(path, run)

    def _steps(self) -> Listed:
        """A run with as many steps as it is asked for; all are there from the beginning."""
        thread = self.made("/threads", json=self._hello)["id"]
        calls = [tool_calls(call("file_search", {"queries": [str(n)]})) for n in range(4)]
        self._script.reply(*calls, text("Hello."))
        asked = {"assistant_id": self._assistant, "stream": True, "tools": [{"type": "file_search"}]}
        told = self._http.post(f"/threads/{thread}/runs", json=asked).text
        assert "event: thread.run.completed" in told
        run = self.ask("GET", f"/threads/{thread}/runs")["data"][0]["id"]
        path = f"/threads/{thread}/runs/{run}/steps"
        oldest_first = [step["id"] for step in self.ask("GET", f"{path}?order=asc&limit=100")["data"]]
        assert len(oldest_first) == 5
        return Listed(path, lambda: "", ids=oldest_first)

    def _store_files(self) -> Listed:
        path = f"/vector_stores/{self.made('/vector_stores')['id']}/files"
        upload = self._text_file

        def add() -> str:
            return str(self.made(path, json={"file_id": upload()})["id"])

        return Listed(path, add, lambda id_: self._delete(f"{path}/{id_}"))

    def _batch_files(self) -> Listed:
        store = f"/vector_stores/{self.made('/vector_stores')['id']}"
        files = [self._text_file() for _ in range(6)]
        batch = self.made(f"{store}/file_batches", json={"file_ids": files})["id"]
        return Listed(
            f"{store}/file_batches/{batch}/files",
            lambda: "",
            lambda id_: self._delete(f"{store}/files/{id_}"),
            ids=files,
        )

    def _text_file(self) -> str:
        made = self.made("/files", files={"file": ("a.txt", b"a")}, data={"purpose": "assistants"})
        return str(made["id"])


@pytest.fixture(scope="module", params=WORLDS)
def lists(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lists]:
    with (
        ScriptedServer() as script,
        database_of(request.param) as database_url,
        served(tmp_path_factory.mktemp("home"), script.base_url, database_url) as url,
        httpx.Client(base_url=f"{url}/v1", timeout=20) as http,
    ):
        yield Lists(http, script)


def walk(
    lists: Lists, listed: Listed, *, order: str, back: bool, sizes: Iterator[int], meanwhile: Callable[[], None]
) -> list[str]:
    """Walk a list to its end, with `after` or backwards with `before`; the ids in the order that was asked for."""
    walked: list[str] = []
    cursor: Json = {}
    if back:  # from behind: what stands in front of the last, then the last itself
        last = lists.ask("GET", listed.path, params={"order": "desc" if order == "asc" else "asc", "limit": 1})
        if not last["data"]:
            return []
        walked, cursor = [last["data"][0]["id"]], {"before": last["data"][0]["id"]}
    while True:
        page = lists.ask("GET", listed.path, params={"order": order, "limit": next(sizes), **cursor})
        ids = [each["id"] for each in page["data"]]
        assert (page["first_id"], page["last_id"]) == ((ids[0], ids[-1]) if ids else (None, None))
        walked = [*ids, *walked] if back else [*walked, *ids]
        assert len(walked) <= 200, "the walk goes in circles"
        meanwhile()
        if not page["has_more"]:
            return walked
        cursor = {"before": ids[0]} if back else {"after": ids[-1]}


KINDS = ("assistants", "vector_stores", "files", "messages", "runs", "steps", "store_files", "batch_files")
GROWING = {"assistants", "vector_stores", "files", "messages", "store_files"}


@pytest.mark.parametrize("kind", KINDS)
@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_a_walk_meets_each_object_once_and_in_order(lists: Lists, kind: str, data: st.DataObject) -> None:
    listed = lists.fresh(kind)
    if kind in GROWING or kind == "runs":
        listed.ids += [listed.add() for _ in range(data.draw(st.integers(0, 3 if kind == "runs" else 7)))]
    order, back = data.draw(st.sampled_from(["asc", "desc"])), data.draw(st.booleans())
    stays, came = set(listed.ids), set[str]()

    def meanwhile() -> None:
        what = data.draw(st.sampled_from(["nothing", "add", "remove"]))
        if what == "add" and kind in GROWING and len(came) < 4:
            listed.ids.append(listed.add())
            came.add(listed.ids[-1])
        elif what == "remove" and listed.remove is not None and stays:
            gone = data.draw(st.sampled_from(sorted(stays)))
            listed.remove(gone)
            stays.discard(gone)

    sizes = iter(lambda: data.draw(st.integers(1, 4)), None)
    walked = walk(lists, listed, order=order, back=back, sizes=sizes, meanwhile=meanwhile)

    ours = [id_ for id_ in walked if id_ in set(listed.ids)]  # other tests fill the same lists of all assistants, …
    in_order = listed.ids if order == "asc" else listed.ids[::-1]
    assert ours == [id_ for id_ in in_order if id_ in set(ours)], "out of order, or twice"
    assert stays <= set(ours), "passed over"
    if listed.remove is not None:
        for id_ in [*stays, *came]:
            listed.remove(id_)
