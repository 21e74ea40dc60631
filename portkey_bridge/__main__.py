"""`python -m portkey_bridge` is the command line."""

from portkey_bridge.cli import entry_point

if __name__ == "__main__":
    entry_point()
