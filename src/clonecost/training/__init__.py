"""Fit a network to answers that are already paid for."""
