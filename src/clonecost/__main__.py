"""`python -m clonecost` is the `clonecost` command."""

from clonecost.cli import main

if __name__ == "__main__":  # a worker of `--workers` imports this file, too
    main()
