"""The program: `portkey-bridge`, and `python -m portkey_bridge`."""

import gc
import signal
import sys

#: What httpx would import though nothing here needs it: its command line, which brings all of pygments, and another
#: event loop, where that is installed.
UNWANTED = ("httpx._main", "trio")


def entry_point() -> None:
    """Run the command line, and answer a client meanwhile."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # while modules are imported, Ctrl-C ends it without a word
    gc.disable()  # what a start makes stays: looking for garbage in it costs a tenth of the time
    sys.modules.update(dict.fromkeys(UNWANTED))  # type: ignore[arg-type]  # None stands for what is not there
    from portkey_bridge.serve.warm_start import Opening

    opening = Opening.begin(sys.argv[1:])
    from portkey_bridge.cli.main import main

    sys.exit(main(sys.argv[1:], opening))


if __name__ == "__main__":
    entry_point()
