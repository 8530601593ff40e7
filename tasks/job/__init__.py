"""What a job is: its arguments, its envelope, its result. No I/O."""
