"""The one door between an attack and the victim: checks, account, ledger."""

from clonecost.oracle.oracle import Oracle

__all__ = ["Oracle"]
