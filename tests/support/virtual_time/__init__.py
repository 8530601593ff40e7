"""Time that jumps, for tests of what waits."""
