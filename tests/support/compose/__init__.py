"""The stack of docker-compose.yml on a real engine, as a newcomer starts it, and its producer."""
