"""One attempt at a job: how it is retried, given up, and counted."""
