"""A real browser on a real stack; skipped where chromium is not on the PATH.

On Debian: `apt-get install chromium chromium-driver`.
"""
