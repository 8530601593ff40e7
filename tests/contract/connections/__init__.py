"""Connections to Redis, on real servers."""
