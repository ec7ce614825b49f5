"""``python -m headstart``: what the command does, for torchrun among others."""

from headstart.cli import main

if __name__ == "__main__":
    main()
