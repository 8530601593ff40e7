"""Which model servers are away, and which sessions wait until they are back."""
