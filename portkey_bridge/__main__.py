"""The entry point of `portkey-bridge` and `python -m portkey_bridge`."""

import gc
import signal
import sys


def entry_point() -> None:
    """Run the command line. A client that was served before gets its first answers from the cache meanwhile."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during the imports ends the program without a traceback
    gc.disable()  # the objects of the start are permanent; collecting among them takes a tenth of its time
    from portkey_bridge.serve.warm_start import warm_start

    started = warm_start(sys.argv[1:])
    from portkey_bridge.cli.main import main

    sys.exit(main(sys.argv[1:], started))


if __name__ == "__main__":
    entry_point()
