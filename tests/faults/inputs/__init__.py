"""What strangers send: odd, large, dear, wrong."""
