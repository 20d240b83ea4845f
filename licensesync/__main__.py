"""`python -m licensesync`, and the console script."""

from licensesync.cli.app import main

if __name__ == "__main__":
    main()
