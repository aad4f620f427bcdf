"""`python -m emofuse` is the command line."""

from emofuse.apps.cli import main

if __name__ == "__main__":
    main()
