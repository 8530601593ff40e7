"""The HTTP gateway: Griot for whatever speaks OpenAI's API."""
