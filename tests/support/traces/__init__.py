"""Spans, for tests."""
