"""How a process begins: its command line, and what it does without."""
