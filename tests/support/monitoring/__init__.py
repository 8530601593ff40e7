"""What is asked of Prometheus, and a real one."""
