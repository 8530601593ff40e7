"""What operators look at: what runs, what waits and why, what was given up. It changes nothing."""
