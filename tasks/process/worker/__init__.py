"""What only a process that runs jobs needs, put together."""
