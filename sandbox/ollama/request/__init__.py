"""What a request says, read and judged as Ollama does. Pure."""
