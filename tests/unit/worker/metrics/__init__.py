"""Where a process shows its metrics, and how Prometheus finds it."""
