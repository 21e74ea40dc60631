"""Moving windows in the memory of a process: when things happened, by a clock that does not jump."""

from __future__ import annotations

import math
import time
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable


class MovingWindows:
    """The times at which something happened to each name, for as long as they count. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows: defaultdict[tuple[int, float], OrderedDict[str, deque[float]]] = defaultdict(OrderedDict)

    def hit(self, name: str, amount: int, seconds: float) -> int | None:
        """Count one event; return the seconds to wait if it would be one more than `amount` in so many `seconds`."""
        now, windows = self._clock(), self._windows[amount, seconds]
        _forget(windows, now - seconds)
        times = windows.get(name, deque[float](maxlen=amount))
        oldest = times[0] if times else now
        if len(times) >= amount and oldest > now - seconds:
            return math.ceil(oldest + seconds - now)
        times.append(now)
        windows[name] = times
        windows.move_to_end(name)
        return None


def _forget(windows: OrderedDict[str, deque[float]], before: float) -> None:
    """Forget those to whom nothing has happened since: the least recent ones are the first."""
    while windows and next(iter(windows.values()))[-1] <= before:
        windows.popitem(last=False)
