"""What keeps the memory small: TTLs extended, stale sessions deleted, agents erased."""
