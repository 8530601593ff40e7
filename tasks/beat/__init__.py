"""What runs by the clock: the sweeper, the maintenance of the memory, dead letters."""
