"""OpenAI's Conversations: a conversation is a session of the agent that answers in it first."""
