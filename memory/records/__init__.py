"""What is kept besides jobs: histories, states, session data, events, indexes, statistics."""
