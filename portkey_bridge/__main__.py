"""The entry point of `portkey-bridge` and `python -m portkey_bridge`."""

import gc
import os
import signal
import sys


def entry_point() -> None:
    """Run the command line. A client that was served before gets its first answers from the cache meanwhile."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during the imports ends the program without a traceback
    _fill_closed_streams()
    gc.disable()  # the objects of the start are permanent; collecting among them takes a tenth of its time
    from portkey_bridge.stdio.warm_start import warm_start

    started = warm_start(sys.argv[1:])
    from portkey_bridge.cli.main import main

    sys.exit(main(sys.argv[1:], started))


def _fill_closed_streams() -> None:
    """Open the null device where a standard stream is closed, so that no other file gets its number.

    Python has None for it then; stderr is replaced, since `print` would take None for stdout.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  # ends with the process


if __name__ == "__main__":
    entry_point()
