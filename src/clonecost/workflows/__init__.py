"""Workflows on run folders, one file each: run, plan, replay, transfer, verify.

Import from the file: `from clonecost.workflows.verify import verify` then loads nothing that only
an audit needs.
"""
