"""How far the indexing is."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from localassist.cli.library import Held, SyncReport
from localassist.cli.paths import LocalFile
from localassist.cli.progress import ProgressBar, Tally, describe, print_report
from localassist.retrieval.model import Progress

FILES = {"file-1": LocalFile(Path("/docs/big.pdf"), "one", 899), "file-2": LocalFile(Path("/docs/small.md"), "two", 99)}


def done(file_id: str, *, status: str = "completed", n_pages: int = 0, error: str | None = None) -> Held:
    return Held(file_id, f"/docs/{file_id}", "sha", status, error, n_pages=n_pages, n_tokens=1000)


def tally() -> Tally:
    made = Tally()
    made.begin(FILES)
    return made


def test_files_weigh_as_much_as_their_bytes() -> None:
    counted = tally()

    counted.finish(done("file-1"))

    assert counted.fraction == pytest.approx(0.9)


def test_most_of_a_files_work_is_embedding() -> None:
    counted = tally()

    counted.step("file-1", Progress("embed", 50, 100))

    assert counted.fraction == pytest.approx(0.9 * (0.15 + 0.8 / 2))
    assert counted.n_tokens == 50


def test_progress_of_files_that_this_command_did_not_add_is_passed_over() -> None:
    counted = tally()

    counted.step("file-of-somebody-else", Progress("embed", 50, 100))

    assert (counted.fraction, counted.n_tokens) == (0.0, 0)


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(sorted(FILES)),
            st.sampled_from(["parse", "chunk", "embed", "write"]),
            st.integers(0, 120),
            st.integers(0, 100),
        ),
        max_size=30,
    )
)
def test_the_share_of_work_never_goes_back_and_ends_at_one(steps: list[tuple[str, str, int, int]]) -> None:
    counted, seen = tally(), [0.0]
    for file_id, stage, n_done, total in steps:
        counted.step(file_id, Progress(stage, n_done, total))  # type: ignore[arg-type]  # drawn from the four stages
        seen.append(counted.fraction)
    for file_id in FILES:
        counted.finish(done(file_id))
        counted.step(file_id, Progress("parse", 0, 1))
        seen.append(counted.fraction)

    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1.0)


def test_the_line_tells_files_pages_speed_and_time_left() -> None:
    counted = tally()
    counted.finish(done("file-2", n_pages=3))
    counted.step("file-1", Progress("embed", 4000, 8000))

    facts = describe(counted, 10.0)

    assert facts.startswith("1 of 2 files · 3 pages · 400 tokens/s · 0:")
    assert facts.endswith(" left · big.pdf")


def test_no_time_left_is_told_before_it_is_known() -> None:
    assert describe(tally(), 0.0) == "0 of 2 files"


def test_a_bar_without_a_terminal_writes_nothing() -> None:
    file = io.StringIO()

    with ProgressBar(Console(file=file, force_terminal=False)) as bar:
        bar.begins(FILES)
        bar.on_progress("file-1", Progress("embed", 1, 2))

    assert file.getvalue() == ""
    assert bar.tally.n_tokens == 1


def test_the_report_names_each_file_that_failed_and_why() -> None:
    file = io.StringIO()
    failed = Held("file-2", "/docs/broken.pdf", "two", "failed", "It is encrypted.")
    pages = Held("file-1", "/docs/a.pdf", "one", "completed", n_pages=2, n_tokens=600)
    slides = Held("file-3", "/docs/a.pptx", "three", "completed", n_pages=7, n_tokens=400)
    report = SyncReport("vs_1", added=[pages, slides], failed=[failed], n_kept=4, n_duplicates=1, n_removed=2)
    report.skipped = {".png": 1}

    print_report(Console(file=file, width=200), report, 2.0)

    first, second = file.getvalue().splitlines()
    assert first == (
        "2 files indexed, 2 PDF pages, 1,000 tokens in 2.0 s; 4 unchanged; 1 with the same content as another; "
        "2 removed; 1 skipped (.png)"
    )
    assert second == "/docs/broken.pdf: It is encrypted."


def test_nothing_is_reported_when_there_was_nothing_to_do_unless_asked() -> None:
    silent, asked = io.StringIO(), io.StringIO()

    print_report(Console(file=silent), SyncReport("vs_1", n_kept=3), 0.1)
    print_report(Console(file=asked), SyncReport("vs_1", n_kept=3), 0.1, always=True)

    assert silent.getvalue() == ""
    assert asked.getvalue() == "3 unchanged\n"
