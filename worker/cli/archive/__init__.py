"""`griot archive`: what has left Redis, and how it goes on."""
