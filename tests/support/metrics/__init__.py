"""What tests see of metrics."""
