"""`python -m emofuse` is the command line."""

from emofuse.cli.main import main

if __name__ == "__main__":
    main()
