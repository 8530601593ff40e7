"""The reply to one request: what is refused, what is said, and how it goes over the wire."""
