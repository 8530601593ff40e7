"""The end of an asyncio server, for a client that connects at that very moment, too."""

import asyncio

_ITERATIONS = 2
"""Of the event loop: one makes an accepted connection's transport, the next tells its protocol."""


async def close_server(server: asyncio.Server) -> None:
    """Stop listening, and return when the protocol of each accepted connection knows of it.

    Closing those connections is the caller's part. With `Server.close` alone, a connection that was
    accepted just before stays open, and nobody knows it, until the garbage collector finds it:
    https://github.com/python/cpython/issues/109564, open in July 2026.
    """
    loop = asyncio.get_running_loop()
    for listener in server.sockets:
        loop.remove_reader(listener.fileno())
    for _ in range(_ITERATIONS):
        await asyncio.sleep(0)
    server.close()
