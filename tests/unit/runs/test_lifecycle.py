"""The table of legal moves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.runs.lifecycle import ACTIVE, MOVES, TERMINAL, IllegalMoveError, event_name, move
from localassist.types.event import EVENT_NAMES
from localassist.types.run import RequiredAction, Run, RunStatus, SubmitToolOutputs

ACTION = RequiredAction(submit_tool_outputs=SubmitToolOutputs(tool_calls=[]))


def run_in(status: RunStatus) -> Run:
    return Run(
        id="run_1", created_at=1, assistant_id="asst_1", thread_id="thread_1", status=status, model="m", expires_at=601
    )


@given(path=st.lists(st.sampled_from(sorted(MOVES)), max_size=12))
def test_a_run_leaves_no_terminal_state_and_makes_no_move_outside_the_table(path: list[RunStatus]) -> None:
    run = run_in("queued")

    for at, status in enumerate(path, start=10):
        if status in MOVES[run.status]:
            run = move(run, status, at=at)
            assert run.status == status
        else:
            with pytest.raises(IllegalMoveError, match=f"from {run.status!r} to {status!r}"):
                move(run, status, at=at)
        assert (run.expires_at is None) == (run.status in TERMINAL)


def test_every_state_can_be_reached_and_every_active_one_can_end() -> None:
    assert frozenset().union(*MOVES.values()) == frozenset(MOVES)
    assert all(MOVES[status] & TERMINAL for status in ACTIVE)


def test_each_state_stamps_its_own_time() -> None:
    started = move(run_in("queued"), "in_progress", at=10)
    again = move(move(started, "requires_action", at=11, required_action=ACTION), "queued", at=12)

    assert started.started_at == 10
    assert again.required_action is None
    assert move(again, "in_progress", at=13).started_at == 13  # overwritten each time, as recorded
    assert move(started, "completed", at=20).completed_at == 20
    assert move(started, "failed", at=21).failed_at == 21
    assert move(move(started, "cancelling", at=22), "cancelled", at=23).cancelled_at == 23


def test_every_state_has_an_event() -> None:
    assert {event_name(status) for status in MOVES} <= EVENT_NAMES
