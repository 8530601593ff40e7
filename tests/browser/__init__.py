"""A real browser on a real stack; skipped where there is none, as in CI.

On Debian: `apt-get install chromium chromium-driver`, `pip install selenium`.
"""
