"""Victims that clonecost trains itself: image classifiers and models of tables."""
