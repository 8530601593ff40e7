"""OpenAI's Chat Completions: with its messages in the request, or on a session."""
