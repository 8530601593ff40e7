"""What this process knows of what jobs wait for: model servers that are away, and pauses."""
