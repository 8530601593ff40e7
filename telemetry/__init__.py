"""What a process measures of itself. Imports nothing of ours, so that every layer can count."""
