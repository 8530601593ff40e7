"""`python -m worker.cli`."""

from worker.cli import main
from worker.standard_streams import install

install()
main(prog_name="griot")
