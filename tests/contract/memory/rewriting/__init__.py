"""Records that are written once more while a deployment works."""
