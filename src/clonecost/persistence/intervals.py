"""The default checkpoint interval, in a module that does not load torch."""

EVERY = 120.0  # seconds
