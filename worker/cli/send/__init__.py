"""`griot send`: a file of messages, sent and answered."""
