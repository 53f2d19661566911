"""What outlives a process: run folders, checkpoints, the model cache, atomic writes."""
