"""Durable state: run folders, checkpoints, the model cache, atomic writes."""
