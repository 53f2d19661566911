"""Where queries come from: evolution, mutation, drawing, selection, zeroth-order steps."""
