"""Making vectors in a worker: what is asked for, and the slot that it takes."""
