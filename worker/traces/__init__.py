"""Where a process sends its spans."""
