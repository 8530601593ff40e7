"""How many jobs there are, in all and of whom, and what an owner of jobs may still send."""
