"""What Griot is measured beside: other programs that do the same job, or a part of it."""
