"""How long a prompt may be: windows, estimates, and what fits into them."""
