"""What `griot check` looks at, and a starting worker: each check is a function that finds."""
