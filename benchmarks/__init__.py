"""Speed and memory of the real thing, each against a floor or a limit: `python -m benchmarks`."""
