"""Victims that clonecost trains itself: classifiers of images and of tables."""
