"""Ask an agent over HTTP, with OpenAI's own client: `python examples/ask.py "What is WAPP?"`.

The gateway must run: `make up`, or `griot serve`. Where it wants a key, `griot keys create` makes
one. A second argument is the address of a gateway elsewhere.
"""

import sys
from collections.abc import Iterator

from openai import OpenAI

HERE = "http://127.0.0.1:8080"


def answer(question: str, address: str = HERE, key: str = "none") -> Iterator[str]:
    """The answer of the agent `energy`, word by word as it is written."""
    client = OpenAI(base_url=f"{address}/v1", api_key=key)
    with client.responses.stream(model="energy", input=question) as stream:
        for event in stream:
            if event.type == "response.output_text.delta":
                yield event.delta


if __name__ == "__main__":
    for piece in answer(*sys.argv[1:]):
        print(piece, end="", flush=True)
