"""The operator's console: what it asks, and what operators do in it."""
