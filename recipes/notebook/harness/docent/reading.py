"""Reads the imports of many notebooks, of which some may be made to fill the memory: large ones in a process of their own."""
from __future__ import annotations

import json
import os
import resource
import signal
from pathlib import Path

from . import modules, notebook

_LARGE = 4 << 20
_MOST_SECONDS = 60


class Reading:
    """What is kept of a notebook: a report may need its cells again, and then it is read again."""

    def __init__(self, imports: list, names: list, skip, kernel):
        self.imports, self.names, self.skip, self.kernel = imports, names, skip, kernel


def read(path: Path, ours: str, memory: int) -> Reading:
    """Reads one; InvalidNotebook if it is none or takes too much to read."""
    try:
        is_large = path.stat().st_size > _LARGE
    except OSError:
        is_large = False
    return _apart(path, ours, memory) if is_large else _here(path, ours)


def _here(path: Path, ours: str) -> Reading:
    book = notebook.read(path)
    return Reading(modules.imports(book), modules.names(book), book.skip, book.kernel_beside(ours))


def _apart(path: Path, ours: str, memory: int) -> Reading:
    source, sink = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(source)
            signal.alarm(_MOST_SECONDS)
            if memory:
                resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
            try:
                found = _here(path, ours)
                said = {"imports": [vars(one) for one in found.imports], "names": found.names, "skip": found.skip,
                        "kernel": found.kernel}
            except notebook.InvalidNotebook as error:
                said = {"invalid": str(error)}
            with os.fdopen(sink, "wb") as pipe:
                pipe.write(json.dumps(said).encode())
        finally:
            os._exit(0)
    os.close(sink)
    with os.fdopen(source, "rb") as pipe:
        answer = pipe.read(16 << 20)
    os.waitpid(child, 0)
    try:
        said = json.loads(answer)
    except ValueError:
        raise notebook.InvalidNotebook(f"cannot be read within {_MOST_SECONDS} s and the memory of the tier") from None
    if "invalid" in said:
        raise notebook.InvalidNotebook(said["invalid"])
    found = [modules.Import(one["module"], tuple(one["names"]), one["index"], one["line"], one["is_required"])
             for one in said["imports"]]
    return Reading(found, said["names"], said["skip"], said["kernel"])
