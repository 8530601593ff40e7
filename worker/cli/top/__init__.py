"""`griot top`: what runs, what waits, and who does it, looked at again and again."""
