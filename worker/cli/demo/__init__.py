"""`griot demo`: its servers and processes, the conversation it holds, what it leaves behind."""
