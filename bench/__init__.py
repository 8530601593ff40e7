"""The benchmark: `python -m bench` measures Griot with real processes and prints ratios.

docs/performance.md has the results and the targets.
"""
