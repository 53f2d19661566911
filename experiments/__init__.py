"""Measurements that no audit makes, because they look into the victim. Not part of the package."""
