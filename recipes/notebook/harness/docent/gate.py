"""What the tiers `resolve` and `environment` have in common: one test, and every way in which it can end."""
from __future__ import annotations

import os
import platform
import re
import shutil
import time
from typing import Callable, Optional

from . import contract, mamba, text
from .requirements import Refused
from .results import Results, result
from .uv import Ended

NAME = "environment"


def python_of(plan: contract.Plan) -> str:
    """The Python that is to be resolved for."""
    own = ".".join(platform.python_version_tuple()[:2])
    wanted = plan.curation.python_version or own
    return wanted if re.fullmatch(r"3\.\d{1,3}(\.\d{1,3})?", wanted) else own


def unverified(plan: contract.Plan) -> Optional[tuple]:
    """What this image cannot do, as class and words; None if it can do all that the spec asks for."""
    why, kind = [], "unsupported_parts"
    if is_other_python(plan) and not mamba.is_here():
        kind, wanted = "other_python", text.line(plan.curation.python_version, 20)
        why.append(f"the spec wants Python {wanted}, the image has {platform.python_version()}")
    for lacks, parts in (("docent does not read them", plan.curation.unsupported),
                         ("the image has no micromamba", [] if mamba.is_here() else plan.curation.mamba_parts)):
        if parts:
            why.append(f"{lacks}, for: {'; '.join(text.line(part, 80) for part in parts)}")
    return (kind, "not verified: " + "; ".join(why)) if why else None


def is_other_python(plan: contract.Plan) -> bool:
    """The spec wants another Python than the image has."""
    wanted, here = plan.curation.python_version, platform.python_version()
    parts = 2 if plan.settings.get("any_python_patch") else 3
    return bool(wanted) and wanted.split(".")[:parts] != here.split(".")[:min(parts, wanted.count(".") + 1)]


def wants_mamba(plan: contract.Plan) -> bool:
    """The environment begins with packages of conda channels, and this image can bring them."""
    return mamba.is_here() and (bool(plan.curation.mamba_parts) or is_other_python(plan))


def run(results: Results, plan: contract.Plan, work: Callable) -> int:
    """Does a tier's work, which answers with one line, and notes how it ended."""
    begun = time.monotonic()

    def note(outcome: str, kind: str, message: str, said: str = ""):
        print(f"{outcome}: {message}" + (f"\n{said}" if said else ""), flush=True)
        results.add(result(NAME, outcome, kind, message, stderr=said, seconds=time.monotonic() - begun))

    cannot = unverified(plan)
    try:
        message = work()
        if cannot:
            note("errored", cannot[0], f"{cannot[1]}; verified: {message}")
            # The step itself ended well: to try it again would change nothing. Its test says that nothing is proven.
            return contract.PASSED
        note("passed", "passed", message)
    except Refused as refused:
        note("failed", "requirement_refused", str(refused))
    except Ended as ended:
        note(ended.outcome, ended.kind, ended.message, ended.said)
        if cannot and ended.kind == cannot[0]:
            return contract.PASSED
    except OSError as error:
        kind = ("out_of_disk", "out_of_disk") if error.errno == 28 else ("errored", "machinery")
        note(*kind, f"the environment cannot be made: {error}")
    if results.exit_code() != contract.PASSED:
        shutil.rmtree(contract.ENV / ".cache", ignore_errors=True)
    return results.exit_code()


def size(folder) -> int:
    """Bytes of all files below a folder, each counted once."""
    seen, total = set(), 0
    for at, _, names in os.walk(folder):
        for name in names:
            try:
                status = os.lstat(os.path.join(at, name))
            except OSError:
                continue
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                total += status.st_size
    return total
