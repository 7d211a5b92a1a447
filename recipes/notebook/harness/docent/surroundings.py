"""What a notebook or a test finds around it: variables that lead into the run's environment and into folders of its own."""
from __future__ import annotations

import os
from pathlib import Path

from . import contract

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def make(plan: contract.Plan, place: Path, **more) -> dict:
    """The variables; `place` has the folders `home` and `tmp`."""
    threads = {name: str(plan.cpus) for name in _THREADS}
    path = f"{contract.VENV / 'bin'}:{os.environ.get('PATH', '/usr/bin:/bin')}"
    variables = plan.curation.variables({
        **threads, **os.environ, **contract.told(), "PATH": path, "VIRTUAL_ENV": str(contract.VENV), "HOME": str(place / "home"),
        "TMPDIR": str(place / "tmp"), **more,
    })
    first = f"{contract.VENV / 'bin'}:"
    if not variables["PATH"].startswith(first):
        variables["PATH"] = first + variables["PATH"]
    return variables
