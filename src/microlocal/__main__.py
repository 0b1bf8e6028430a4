"""``python -m microlocal`` is the command line."""

from microlocal.cli import main

if __name__ == "__main__":
    main()
