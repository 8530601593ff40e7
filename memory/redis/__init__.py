"""How commands reach Redis: commands as values, and what sends them from threads or a loop."""
