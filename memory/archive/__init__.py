"""Conversations that have left Redis: a file, how they get there, and how they come back."""
