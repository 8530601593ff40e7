"""The web pages: static files, behind a policy that runs nothing else, and what only pages ask."""
