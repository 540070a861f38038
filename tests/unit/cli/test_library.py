"""What has to change in a store so that it holds the local files."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from localassist.cli.library import Held, Plan, plan
from localassist.cli.paths import LocalFile

PATHS = st.sampled_from([f"/docs/{name}" for name in "abcdef"])
CONTENTS = st.sampled_from(["one", "two", "three", "four"])


def local(path: str, sha256: str) -> LocalFile:
    return LocalFile(Path(path), sha256, 10)


def held(path: str, sha256: str, status: str = "completed") -> Held:
    return Held(f"file-{path}", path, sha256, status)


def names(plan: Plan) -> tuple[list[str], list[str], list[str]]:
    return [h.path for h in plan.remove], [f.path.as_posix() for f in plan.add], [h.path for h in plan.keep]


def test_a_file_that_has_not_changed_is_kept() -> None:
    todo = plan([local("/docs/a", "one")], [held("/docs/a", "one")], only_these=True)

    assert names(todo) == ([], [], ["/docs/a"])


def test_a_file_that_changed_replaces_its_older_self() -> None:
    todo = plan([local("/docs/a", "two")], [held("/docs/a", "one")], only_these=False)

    assert names(todo) == (["/docs/a"], ["/docs/a"], [])


def test_the_same_content_under_another_name_is_not_indexed_again() -> None:
    todo = plan([local("/docs/a", "one"), local("/docs/b", "one")], [held("/docs/a", "one")], only_these=True)

    assert names(todo) == ([], [], ["/docs/a"])
    assert [file.path.as_posix() for file in todo.duplicates] == ["/docs/b"]


def test_a_file_that_failed_before_is_tried_again() -> None:
    todo = plan([local("/docs/a", "one")], [held("/docs/a", "one", "failed")], only_these=True)

    assert names(todo) == (["/docs/a"], ["/docs/a"], [])


def test_a_file_that_is_still_being_indexed_is_waited_for_not_added_again() -> None:
    todo = plan([local("/docs/a", "one")], [held("/docs/a", "one", "in_progress")], only_these=True)

    assert names(todo) == ([], [], ["/docs/a"])


def test_files_that_are_not_asked_about_stay_with_add_and_go_with_ask() -> None:
    files = [held("/docs/a", "one"), held("/docs/b", "two")]

    assert names(plan([local("/docs/a", "one")], files, only_these=False))[0] == []
    assert names(plan([local("/docs/a", "one")], files, only_these=True))[0] == ["/docs/b"]


def test_an_earlier_failure_that_is_not_asked_about_stays_and_is_no_removal() -> None:
    failed = held("/docs/broken", "one", "failed")

    other = plan([local("/docs/a", "two")], [failed], only_these=False)
    same = plan([local("/docs/broken", "one")], [failed], only_these=False)
    twin = plan([local("/docs/twin", "one")], [failed], only_these=False)

    assert (names(other)[0], other.n_removed) == ([], 0)
    assert (names(same)[0], same.n_removed) == (["/docs/broken"], 0)
    assert names(twin)[1] == ["/docs/twin"]


def test_what_is_gone_is_removed_and_counted_and_a_twin_takes_its_place() -> None:
    todo = plan([local("/docs/b", "one")], [held("/docs/a", "one")], only_these=False, gone={"/docs/a"})

    assert names(todo) == (["/docs/a"], ["/docs/b"], [])
    assert todo.n_removed == 1


def test_a_file_that_is_there_is_not_removed_though_its_name_seems_gone() -> None:
    todo = plan([local("/docs/a", "one")], [held("/docs/a", "one")], only_these=False, gone={"/docs/a"})

    assert names(todo) == ([], [], ["/docs/a"])


@given(
    wanted=st.dictionaries(PATHS, CONTENTS, min_size=1),
    stored=st.dictionaries(PATHS, st.tuples(CONTENTS, st.sampled_from(["completed", "failed"]))),
)
def test_afterwards_the_store_holds_each_content_of_the_local_files_once_and_nothing_else(
    wanted: dict[str, str], stored: dict[str, tuple[str, str]]
) -> None:
    before = [held(path, sha256, status) for path, (sha256, status) in stored.items()]

    todo = plan([local(path, sha256) for path, sha256 in wanted.items()], before, only_these=True)

    after = [h for h in before if h not in todo.remove]
    assert list(todo.keep) == after
    assert all(h.status == "completed" for h in after)
    contents = [h.sha256 for h in after] + [file.sha256 for file in todo.add]
    assert set(contents) == set(wanted.values())
    added = [file.sha256 for file in todo.add]
    assert len(added) == len(set(added))
    assert not set(added) & {h.sha256 for h in after}
