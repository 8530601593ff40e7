"""One turn: what the model is shown, and how it is asked."""
