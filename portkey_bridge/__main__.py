"""The program: `portkey-bridge`, and `python -m portkey_bridge`."""

import gc
import sys
from typing import NoReturn

from portkey_bridge.opening import Opening


def entry_point() -> NoReturn:
    """Run the command line, and answer a client meanwhile."""
    gc.disable()  # what a start makes stays: looking for garbage in it costs a tenth of the time
    sys.modules["httpx._main"] = None  # type: ignore[assignment]  # httpx's command line brings all of pygments
    opening = Opening.begin(sys.argv[1:])
    from portkey_bridge.cli import main

    sys.exit(main(sys.argv[1:], opening))


if __name__ == "__main__":
    entry_point()
