"""Real servers of others: what starts them, and what stands before them."""
