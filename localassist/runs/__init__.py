"""One run from start to end.

lifecycle  queued → in_progress → …         which moves are legal
prompt     assistant + thread → chat messages within the model's context
turn       one model call, streamed → Reply (text, tool calls)
loop       Reply → tools → next turn, until the run is terminal
steps      every turn and tool call → RunSteps and the Message
events     everything that happened → the event stream
"""
