"""The benchmark: `python -m bench` measures Griot with real processes and prints ratios.

performance.md of the specification names what is measured and the targets; docs/performance.md
has the results.
"""
