"""The check of our own English: `python -m prose`; docs/glossary.md has the terms."""
