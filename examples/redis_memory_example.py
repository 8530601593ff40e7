"""The memory service step by step: `python examples/redis_memory_example.py`.

Uses the Redis of the settings (REDIS_URL, or REDIS_HOST, REDIS_PORT …). What it wrote is removed or
expires within minutes.
"""

import sys

from memory import MemoryServiceError, RedisMemoryService, get_redis_memory

AGENT, SESSION = "energy-example", "user-123-session-1"


def conversation(redis_memory: RedisMemoryService) -> None:
    """Save, append, read."""
    print("-- Conversation history")
    history = [
        {"role": "user", "content": "What are ECOWAS energy initiatives?"},
        {"role": "assistant", "content": "ECOWAS has several initiatives..."},
    ]
    redis_memory.save_conversation_history(AGENT, SESSION, history, ttl=86400)
    redis_memory.append_to_history(
        AGENT, SESSION, {"role": "user", "content": "Tell me more"}, max_history=10
    )
    for message in redis_memory.get_conversation_history(AGENT, SESSION):
        print(f"   {message['role']}: {message['content']}")


def state_and_data(redis_memory: RedisMemoryService) -> None:
    """What an agent and a session keep beside the conversation."""
    print("-- Agent state and session data")
    redis_memory.save_agent_state(AGENT, {"active_agents": ["energy"], "pending_requests": 3})
    print(f"   state: {redis_memory.get_agent_state(AGENT)}")
    redis_memory.set_session_data(SESSION, "metadata", {"twg": "energy"}, ttl=60)
    print(f"   data:  {redis_memory.get_session_data(SESSION, 'metadata')}")


def sessions(redis_memory: RedisMemoryService) -> None:
    """Several sessions of one agent, and how long they live."""
    print("-- Sessions")
    redis_memory.append_to_history(
        AGENT, "user-456-session-1", {"role": "user", "content": "Hello"}, ttl=3600
    )
    redis_memory.extend_ttl(AGENT, SESSION, ttl=172_800)
    print(f"   {redis_memory.get_all_sessions_for_agent(AGENT)}")


def statistics(redis_memory: RedisMemoryService) -> None:
    """What Redis says."""
    print("-- Statistics")
    stats = redis_memory.get_memory_stats()
    print(f"   used memory {stats['used_memory']}, {stats['total_keys']} keys")


def main() -> int:
    """Run all steps; the exit status."""
    try:
        with get_redis_memory() as redis_memory:
            for step in (conversation, state_and_data, sessions, statistics):
                step(redis_memory)
            deleted = redis_memory.clear_all_agent_data(AGENT)
            print(f"-- Removed {deleted} keys")
    except MemoryServiceError as exc:
        print(f"{type(exc).__name__}: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
