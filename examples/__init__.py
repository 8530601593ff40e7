"""Programs that show how a service uses Griot; each runs as it is."""
