"""Whether the results of functions that a request brings belong to calls of its session."""

from collections.abc import Sequence

from gateway.errors import ApiError
from gateway.messages import call_ids
from gateway.services import Gateway
from memory import SessionKeys
from memory.records import history
from tasks.job.preceding import BEFORE

MOST_MESSAGES = 1000
"""So far back a call may lie."""


async def check_answered(
    gateway: Gateway, keys: SessionKeys, answered: Sequence[str], response_id: str, *, param: str
) -> None:
    """Raise ApiError where one of these calls is not in the session, or has its result already.

    A request that is sent again finds its own results there. `param` is the field that has them.
    """
    if not answered:
        return
    read = history.read(keys, at_most=MOST_MESSAGES)
    messages = (await gateway.memory.run(read)).messages
    made = {call_id for one in messages for call_id in call_ids(one)}
    done = {
        one.get("tool_call_id")
        for one in messages
        if one.get("role") == "tool" and one.get(BEFORE) != response_id
    }
    for call_id in answered:
        if call_id not in made:
            wrong = f"No function call {call_id!r} is in the conversation."
            raise ApiError(400, wrong, param=param)
        if call_id in done:
            wrong = f"The function call {call_id!r} has its result already."
            raise ApiError(400, wrong, param=param)
