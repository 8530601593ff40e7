"""Several Ollamas as one: which is asked, what it has loaded, what happens when it fails."""
