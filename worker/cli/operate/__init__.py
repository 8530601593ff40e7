"""What operators do to the whole: pause, resume, drain."""
