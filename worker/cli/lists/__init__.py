"""`griot jobs` and `griot usage`: what was sent, and what it has used."""
