"""Traces of jobs from end to end."""
