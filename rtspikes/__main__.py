"""`python -m rtspikes`."""

from rtspikes.cli.main import main

if __name__ == "__main__":
    main()
