"""What runs on its own in each worker."""
