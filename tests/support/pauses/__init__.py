"""Pauses in a simulated world."""
