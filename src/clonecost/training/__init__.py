"""Train a network on answers that are already paid for: losses, recipes, augmentation."""
