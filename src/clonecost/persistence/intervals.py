"""How often a running audit is saved: this module imports nothing that loads torch."""

EVERY = 120.0  # seconds between two snapshots
