"""Who may do what at Redis: the users of Griot's processes, made from what the code does there."""
