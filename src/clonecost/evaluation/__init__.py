"""How good a clone is: scores, controls, red flags, adversarial transfer."""
