"""The producer's side: send a job, follow it, cancel it, wait for its result."""
