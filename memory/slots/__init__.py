"""How many calls each model server gets at once, from all workers, and who is next."""
