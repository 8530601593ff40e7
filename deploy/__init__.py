"""What an operator deploys with, and the program that writes the table of settings."""
