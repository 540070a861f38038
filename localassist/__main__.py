"""`python -m localassist` is the command line."""

from localassist.cli.main import main

if __name__ == "__main__":
    main()
