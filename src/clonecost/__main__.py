"""`python -m clonecost` is the `clonecost` command."""

from clonecost.cli import main

main()
