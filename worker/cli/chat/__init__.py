"""`griot chat`: one conversation, on a terminal, through a pipe, or as JSON for a script."""
