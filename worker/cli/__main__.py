"""`python -m worker.cli`."""

from worker.cli import main

main(prog_name="griot")
