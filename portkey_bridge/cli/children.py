"""Child processes of Python that import nothing from the working directory, where anybody may have put a module."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def import_path(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a child's import path: PYTHONPATH without relative folders, and no working directory.

    An empty entry, as `PYTHONPATH=$PYTHONPATH:/lib` leaves it, is the working directory, too.
    """
    folders = [folder for folder in environ.get("PYTHONPATH", "").split(os.pathsep) if Path(folder).is_absolute()]
    return {"PYTHONPATH": os.pathsep.join(folders), "PYTHONSAFEPATH": "1"}
