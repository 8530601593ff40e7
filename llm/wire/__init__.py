"""What goes to Ollama and comes from it, as values. No I/O."""
