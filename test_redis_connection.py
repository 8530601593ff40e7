"""Quick connection test: `python test_redis_connection.py`.

Asks the Redis of the settings (REDIS_URL, or REDIS_HOST, REDIS_PORT …) whether it is there, writes
and reads one message, and says what it found. Exits with 0 if all is well, with 1 if not.
"""

import sys
import uuid

from memory import MemoryServiceError, RedisMemoryService, create_redis_memory_from_config

AGENT = "connection-test"


def main() -> int:
    """Run the test; the exit status."""
    try:
        with create_redis_memory_from_config() as redis_memory:
            return check(redis_memory)
    except MemoryServiceError as exc:
        print(f"❌ {exc}")
        return 1


def check(redis_memory: RedisMemoryService) -> int:
    """Ask, write, read, remove."""
    server = redis_memory.connection.label
    if not redis_memory.health_check():
        print(f"❌ Redis at {server} does not answer us")
        # The same question once more, for the reason.
        redis_memory.get_agent_state(AGENT)
        return 1
    print(f"✅ connected to Redis at {server}")
    session, message = f"session-{uuid.uuid4()}", {"role": "user", "content": "Hello"}
    redis_memory.append_to_history(AGENT, session, message, ttl=60)
    is_same = redis_memory.get_conversation_history(AGENT, session) == [message]
    redis_memory.clear_all_agent_data(AGENT)
    print("✅ wrote and read a message" if is_same else "❌ the message did not come back")
    stats = redis_memory.get_memory_stats()
    print(f"   used memory {stats['used_memory']}, {stats['total_keys']} keys")
    return 0 if is_same else 1


if __name__ == "__main__":
    sys.exit(main())
