"""`python -m volvelle`: the command line."""

from volvelle.cli.app import main

if __name__ == "__main__":
    main()
