"""Making and selecting queries: evolution, mutation, drawing, active selection, zeroth order."""
