"""Outputs of the client's functions: checked, and filled into the step that waits for them; pure but for the clock."""

from collections.abc import Sequence

from localassist import clock
from localassist.errors import BadRequestError
from localassist.types.run import Run, ToolOutputParam
from localassist.types.run_step import FunctionToolCall, RunStep, ToolCallsStepDetails


def outputs_by_call(run: Run, given: Sequence[ToolOutputParam]) -> dict[str, str]:
    """Give the output of each call that the run waits for. All must come in one request, each once.

    Raises:
        BadRequestError: the run does not wait for outputs, or for others.
    """
    action = run.required_action
    if run.status != "requires_action" or action is None:
        raise BadRequestError(f'Runs in status "{run.status}" do not accept tool outputs.')
    expected = [call.id for call in action.submit_tool_outputs.tool_calls]
    got = [output.tool_call_id for output in given]
    if len(got) != len(expected) or set(got) != set(expected):
        raise BadRequestError(f"Expected tool outputs for call_ids {expected}, got {got}", param="tool_outputs")
    return {output.tool_call_id: output.output or "" for output in given if output.tool_call_id is not None}


def filled(steps: Sequence[RunStep], outputs: dict[str, str]) -> RunStep | None:
    """Give the open step that called the functions, completed with their outputs; None when there is none."""
    for step in steps:
        details = step.step_details
        if step.status != "in_progress" or not isinstance(details, ToolCallsStepDetails):
            continue
        calls = [
            call.model_copy(update={"function": call.function.model_copy(update={"output": outputs[call.id]})})
            if isinstance(call, FunctionToolCall) and call.id in outputs
            else call
            for call in details.tool_calls
        ]
        update = {
            "status": "completed",
            "completed_at": clock.now_s(),
            "expires_at": None,
            "step_details": ToolCallsStepDetails(tool_calls=calls),
        }
        return step.model_copy(update=update)
    return None
