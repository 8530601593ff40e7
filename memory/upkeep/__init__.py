"""Work on many sessions outside a turn: TTLs, clean-up, erasure, export, other keys, damage."""
