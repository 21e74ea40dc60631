"""The program: `portkey-bridge`, and `python -m portkey_bridge`."""

import gc
import signal
import sys
from typing import NoReturn


def entry_point() -> NoReturn:
    """Run the command line, and answer a client meanwhile."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # while modules are imported, Ctrl-C ends it without a word
    gc.disable()  # what a start makes stays: looking for garbage in it costs a tenth of the time
    sys.modules["httpx._main"] = None  # type: ignore[assignment]  # httpx's command line brings all of pygments
    from portkey_bridge.opening import Opening

    opening = Opening.begin(sys.argv[1:])
    from portkey_bridge.cli import main

    sys.exit(main(sys.argv[1:], opening))


if __name__ == "__main__":
    entry_point()
