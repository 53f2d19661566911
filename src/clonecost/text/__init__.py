"""What attacks on classifiers of texts share: models over words, and their fit to paid answers."""
