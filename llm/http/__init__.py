"""The client of one Ollama: connections, time limits, streams."""
