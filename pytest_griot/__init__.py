"""A pytest plugin for those who build on Griot: real servers, or none, and a model by script.

docs/testing.md shows it. pytest loads `plugin` at each start, so that module and this one import
nothing that costs anything; what a fixture needs is imported with its first use.
"""
