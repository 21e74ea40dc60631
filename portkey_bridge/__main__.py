"""The program: `portkey-bridge`, and `python -m portkey_bridge`."""

import gc
import sys

#: What httpx would import though nothing here needs it: its command line, which brings all of pygments, and another
#: event loop, where that is installed.
UNWANTED = ("httpx._main", "trio")


def entry_point() -> None:
    """Run the command line, and answer a client meanwhile."""
    gc.disable()  # what a start makes stays: looking for garbage in it costs a tenth of the time
    sys.modules.update(dict.fromkeys(UNWANTED))  # type: ignore[arg-type]  # None stands for what is not there
    try:  # whoever interrupts the first imports sees no traceback either
        from portkey_bridge.opening import Opening

        opening = Opening.begin(sys.argv[1:])
        from portkey_bridge.cli import main

        status = main(sys.argv[1:], opening)
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)


if __name__ == "__main__":
    entry_point()
