"""The jobs of a session: in order, one turn each, whatever dies in between."""
