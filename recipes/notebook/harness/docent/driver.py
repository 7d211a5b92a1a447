"""Runs one notebook, as a process of its own, so that a notebook's end is its own end: a job from a file, its result into a
pipe, both JSON. As a program: forks such a process for each line of standard input, which names a folder, and answers with
its number (`nursery.py` is the other side)."""
from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
import traceback as trace
from pathlib import Path

sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from docent import notebook, processes, results, text  # noqa: E402
from docent.nursery import ANSWER, JOB  # noqa: E402

try:
    from docent.kernel import Kernel, KernelDied, MissingKernel  # noqa: E402
    from docent.outputs import Budget, Outputs  # noqa: E402
except Exception as error:  # the environment is the repository's, and so is a broken jupyter_client in it
    if __name__ != "__main__":
        raise
    trace.print_exc()
    print(f"{type(error).__name__}: {error}".replace("\n", " "), flush=True)
    os._exit(1)

_FRAME = re.compile(r"Cell In\s?\[(\d+)\]|Input In \[(\d+)\]|<ipython-input-(\d+)-|^(?:File|~|/)\S*", re.MULTILINE)
_LINE = re.compile(r"Cell In\s?\[(\d+)\], line (\d+)")
_ARROW = re.compile(r"^-+> (\d+)", re.MULTILINE)
_UNREACHABLE = {
    "URLError", "HTTPError", "gaierror", "ConnectionError", "ConnectionRefusedError", "ConnectionResetError",
    "ConnectionAbortedError", "RemoteDisconnected", "IncompleteRead", "MaxRetryError", "NewConnectionError", "NameResolutionError",
    "ProxyError", "SSLError", "SSLCertVerificationError", "ConnectTimeout", "ConnectTimeoutError", "ReadTimeout",
    "ReadTimeoutError", "ConnectError", "ClientConnectorError", "ClientConnectorDNSError", "ServerTimeoutError",
    "EndpointConnectionError", "NoCredentialsError", "RemoteServiceError", "RemoteProtocolError",
}
_NETWORK = re.compile(r"\[Errno (?:101|110|111|113|-2|-3|-5)\]|name resolution|network is unreachable", re.IGNORECASE)
_MEMORY_NEAR = 0.7  # of the limit: a kernel killed above it was killed for memory, where nothing better is known


class Meter:
    """The most memory that the notebook's processes had together."""

    def __init__(self):
        self.peak = 0
        self.pid = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._measure, daemon=True)
        self._thread.start()

    def _measure(self):
        while not self._over.wait(0.1):
            below = processes.descendants(os.getpid())
            for pid in below:
                if pid != self.pid:
                    processes.prefer_for_oom(pid, 1000)
            self.peak = max(self.peak, processes.memory(below), processes.high_water(self.pid) if self.pid else 0)

    def watch(self, pid: int):
        """Looks at the kernel's own high-water mark as well, which no spike escapes."""
        self.pid = pid

    def stop(self) -> int:
        self._over.set()
        self._thread.join(5)
        return self.peak


class Attempt:
    """One notebook's run, from file to result."""

    def __init__(self, job: dict):
        self.job = job
        self.name = job["name"]
        self.begun = time.monotonic()
        self.end = self.begun + job["limit"]
        self.meter = Meter()
        self.kills = processes.oom_kills()
        self.stderr = ""

    def verdict(self, outcome: str, kind: str, message: str = "", **details) -> dict:
        return results.result(self.name, outcome, kind, message, seconds=time.monotonic() - self.begun,
                              peak_memory_bytes=self.meter.peak or None, stderr=details.pop("stderr", self.stderr),
                              **details)

    def was_memory(self, code=None) -> bool:
        """Whether memory ran out for one of the notebook's processes."""
        now = processes.oom_kills()
        if self.kills is not None and now is not None:
            return now > self.kills
        limit = self.job["memory_bytes"]
        return code == -9 and limit > 0 and self.meter.peak >= _MEMORY_NEAR * limit

    def run(self, book: notebook.Notebook) -> dict:
        kernel = None
        try:
            kernel = Kernel(book.kernel_beside(self.job["kernel_name"]), self.job["folder"], self.job["variables"], self.job["sockets"])
            return self._run(book, kernel)
        except MissingKernel as error:
            return self.verdict("failed", "missing_kernel", f"the kernel {error} is not installed in the environment")
        finally:
            if kernel is not None:
                kernel.end()

    def _run(self, book: notebook.Notebook, kernel: Kernel) -> dict:
        limit = min(self.job["start_timeout"], self.end - time.monotonic())
        try:
            kernel.start(limit, self.meter.watch)
        except TimeoutError:
            return self.verdict("timed_out", "kernel_start", f"the kernel did not answer within {limit:.0f} s",
                                stderr=kernel.last_words)
        except KernelDied as died:
            return self._died(book, None, kernel, died, None)
        info = {key: value for key, value in kernel.language.items() if isinstance(key, str)}
        book.metadata["language_info"] = info or book.metadata.get("language_info", {})
        budget, displays, shown = Budget(self.job["output_limit"]), {}, []
        try:
            return self._cells(book, kernel, budget, displays, shown)
        finally:
            for cell, outputs in shown:
                cell.document["outputs"] = outputs.document()
            if not self.stderr:
                self.stderr = _stderr(shown)

    def _cells(self, book, kernel, budget, displays, shown) -> dict:
        for cell in book.cells:
            if cell.is_code:
                cell.document.update({"outputs": [], "execution_count": None})
        wanted = [cell for cell in book.cells if is_executed(cell)]
        for cell in wanted:
            outputs = Outputs(budget, displays)
            shown.append((cell, outputs))
            limit = self.job["cell_timeout"]
            end = min(self.end, time.monotonic() + limit)
            may_raise = "raises-exception" in cell.tags
            begun = time.monotonic()
            try:
                run = kernel.execute(cell.source, outputs, end, may_raise)
            except KernelDied as died:
                self.stderr = _stderr(shown) + kernel.last_words
                return self._died(book, cell, kernel, died, time.monotonic() - begun)
            cell.document["execution_count"] = run.count
            if run.status == "ok" or (run.status == "error" and may_raise):
                if run.asked_to_quit and cell is not wanted[-1]:
                    self.stderr = _stderr(shown)
                    message = f"cell {cell.index} ended the kernel before the rest of the notebook"
                    return self.verdict("failed", "kernel_died", message, cell=book.place(cell, None, run.count),
                                        cell_seconds=run.seconds)
                continue
            self.stderr = _stderr(shown)
            return self._stopped(book, cell, run, end == self.end)
        return self.verdict("passed", "passed")

    def _stopped(self, book, cell, run, by_notebook: bool) -> dict:
        error = run.error or {}
        line = failing_line(error.get("traceback") or [], run.count)
        details = {
            "cell": book.place(cell, line, run.count),
            "exception": results.exception(error.get("ename") or "", error.get("evalue") or "",
                                           error.get("traceback")) if error else None,
            "cell_seconds": run.seconds,
        }
        if run.status == "timed_out":
            which = self.job["limit_words"] if by_notebook else f"the limit of {self.job['cell_timeout']:g} s for a cell"
            return self.verdict("timed_out", "timed_out", f"cell {cell.index} reached {which}", **details)
        said = f"{error.get('ename')}: {error.get('evalue')}" if error.get("evalue") else str(error.get("ename"))
        if self.was_memory():
            message = f"a process of the notebook was killed for memory, then cell {cell.index} raised {said}"
            return self.verdict("out_of_memory", "out_of_memory", message, **details)
        if str(error.get("ename")).endswith("MemoryError"):
            return self.verdict("out_of_memory", "memory_error", f"cell {cell.index} raised {said}", **details)
        kind = "data_or_network" if is_about_data(str(error.get("ename")), error.get("traceback") or []) else "cell_error"
        return self.verdict("failed", kind, f"cell {cell.index} raised {said}", **details)

    def _died(self, book, cell, kernel, died: KernelDied, seconds) -> dict:
        where = f"in cell {cell.index}" if cell else "before it answered"
        details = {"cell": book.place(cell) if cell else None, "cell_seconds": seconds,
                   "stderr": self.stderr or kernel.last_words}
        if self.was_memory(died.code):
            return self.verdict("out_of_memory", "out_of_memory", f"the kernel was killed for memory {where}", **details)
        return self.verdict("failed", "kernel_died", f"{died} {where}", **details)


def is_executed(cell: notebook.Cell) -> bool:
    """Code that is neither empty nor marked to be left out."""
    return cell.is_code and "skip-execution" not in cell.tags and bool(cell.source.strip())


def is_about_data(name: str, traceback: list) -> bool:
    """Whether an exception says that data was not there or could not be fetched, rather than that code is wrong."""
    said = text.plain("\n".join(str(part) for part in traceback))
    last = said.rstrip().rsplit("\n", 1)[-1]
    short = name.rsplit(".", 1)[-1]
    if short in _UNREACHABLE or (short in ("OSError", "RuntimeError", "Exception") and _NETWORK.search(last)):
        return True
    # A program that is not installed raises the same as a file that is not there.
    return short == "FileNotFoundError" and "subprocess.py" not in said and "_execute_child" not in said


def failing_line(traceback: list, count) -> "int | None":
    """The line of the cell, counted from 1, at which the exception passed through it last."""
    said = text.plain("\n".join(str(part) for part in traceback))
    found = [int(line) for number, line in _LINE.findall(said) if count is None or int(number) == count]
    if found:
        return found[-1]
    # Older IPythons name the statement's first line in the head of a frame; the arrow shows the real one.
    frames = list(_FRAME.finditer(said))
    for at, frame in reversed(list(enumerate(frames))):
        number = next((part for part in frame.groups() if part), None)
        if number is None or (count is not None and int(number) != count):
            continue
        arrow = _ARROW.search(said[frame.end(): frames[at + 1].start() if at + 1 < len(frames) else len(said)])
        if arrow:
            return int(arrow[1])
    return None


def _stderr(shown: list) -> str:
    parts = [
        part
        for _, outputs in shown[-3:]
        for item in outputs.items
        if item["output_type"] == "stream" and item["name"] == "stderr"
        for part in item["text"][-50:]
    ]
    return "".join(parts)[-8000:]


def drive(job: dict) -> dict:
    """Runs the notebook of a job and keeps it with its outputs."""
    attempt = Attempt(job)
    try:
        book = notebook.read(Path(job["file"]))
    except notebook.InvalidNotebook as error:
        return attempt.verdict("failed", "invalid_notebook", str(error))
    if book.skip:
        return attempt.verdict("skipped", "skipped", book.skip)
    if not any(is_executed(cell) for cell in book.cells):
        return attempt.verdict("passed", "passed", "no code to execute")
    try:
        verdict = attempt.run(book)
    finally:
        everything_ended = processes.kill_below(os.getpid())
    verdict["peak_memory_bytes"] = attempt.meter.stop() or None
    verdict["stderr"] = text.tail(verdict["stderr"] or attempt.stderr, 4000)
    if not everything_ended:
        print(f"{attempt.name}: some of its processes did not end", file=sys.stderr)
    kept = Path(job["artifact"])
    kept.parent.mkdir(parents=True, exist_ok=True)
    results.write(kept, results.to_json(book.document, indent=1) + b"\n")
    return verdict


def answer(job: dict) -> dict:
    """The verdict on a job, whatever happens here."""
    try:
        return drive(job)
    except Exception:  # a mistake of ours is one of ours, and says where
        message = "the process that drove the notebook failed"
        return results.result(job["name"], "errored", "driver", message, stderr=text.tail(trace.format_exc(), 4000))


def fork(place: Path) -> int:
    """Starts a driver for the job in a folder, and leaves it to whoever adopts orphans."""
    pipe = os.open(place / ANSWER, os.O_WRONLY)
    read, write = os.pipe()
    between = os.fork()
    if between == 0:
        try:
            pid = os.fork()
            if pid == 0:
                os.close(read)
                os.close(write)
                become_driver(place, pipe)
            os.write(write, str(pid).encode())
        finally:
            os._exit(0)
    os.close(write)
    os.close(pipe)
    os.waitpid(between, 0)
    with os.fdopen(read) as told:
        return int(told.read())


def become_driver(place: Path, pipe: int):
    """Does the job; never returns."""
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)
        processes.adopt_orphans()
        processes.prefer_for_oom(os.getpid(), 500)
        said = json.dumps(answer(json.loads((place / JOB).read_text("utf-8"))))
        with os.fdopen(pipe, "w") as out:
            out.write(said)
        os._exit(0)
    except BaseException:
        trace.print_exc()
        os._exit(1)


if __name__ == "__main__":
    for line in sys.stdin:
        print(fork(Path(line.rstrip("\n"))), flush=True)
