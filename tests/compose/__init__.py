"""docker-compose.yml on a real engine: `make compose-test`, which nothing else runs.

The tests of a module run in their order, on one stack.
"""
