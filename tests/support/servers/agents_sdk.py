"""A conversation of OpenAI's Agents SDK: `python agents_sdk.py GATEWAY responses|completions ID`.

Run with the SDK on PYTHONPATH: its package is called `agents`, as one of ours, which it must not
find. It prints what was looked up and answered as JSON.
"""

import asyncio
import json
import sys

import openai

import agents as sdk  # type: ignore[import-not-found, unused-ignore]  # not of this environment

LOOKED_UP: list[str] = []


@sdk.function_tool  # type: ignore[attr-defined, untyped-decorator, unused-ignore]  # not of this environment
def look_up(country: str) -> str:
    """The capacity of a country."""
    LOOKED_UP.append(country)
    return "4975 MW"


async def main(gateway: str, kind: str, session_id: str) -> None:
    """Three turns, the last of them as a stream."""
    client = openai.AsyncOpenAI(base_url=f"{gateway}/v1", api_key="none", max_retries=0)
    sdk.set_tracing_disabled(True)  # type: ignore[attr-defined, unused-ignore]  # not of this environment
    made = {
        "responses": sdk.OpenAIResponsesModel,  # type: ignore[attr-defined, unused-ignore]  # as above
        "completions": sdk.OpenAIChatCompletionsModel,  # type: ignore[attr-defined, unused-ignore]  # as above
    }[kind]
    model = made(model="tools", openai_client=client)
    agent = sdk.Agent(name="Expert", instructions="Be brief.", model=model, tools=[look_up])  # type: ignore[attr-defined, call-arg, unused-ignore]  # as above
    session = sdk.SQLiteSession(session_id)  # type: ignore[attr-defined, unused-ignore]  # as above
    if kind == "responses":
        session = sdk.OpenAIConversationsSession(openai_client=client)  # type: ignore[attr-defined, unused-ignore]  # as above
    answers = []
    for country in ("Ghana", "Togo"):
        done = await sdk.Runner.run(agent, country, session=session)  # type: ignore[attr-defined, unused-ignore]  # as above
        answers.append(done.final_output)
    streamed = sdk.Runner.run_streamed(agent, "Benin", session=session)  # type: ignore[attr-defined, unused-ignore]  # as above
    async for _ in streamed.stream_events():
        pass
    answers.append(streamed.final_output)
    items = len(await session.get_items())
    print(json.dumps({"looked_up": LOOKED_UP, "answers": answers, "items": items}))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
