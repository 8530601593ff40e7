"""Encryption of what people and models say, while it lies in Redis."""
