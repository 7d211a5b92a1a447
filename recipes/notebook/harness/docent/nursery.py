"""Where the processes come from that drive one notebook each: forked from one that has imported everything already, since
the imports cost as much as a small notebook does."""
from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Optional

from . import processes

JOB, ANSWER = "job.json", "answer"
_MOST = 64 << 20  # bytes of an answer
_PATIENCE = 30.0  # seconds in which a fork is answered
_TRIES = 3


class Nursery:
    """Starts drivers, and ends them at their limits. Needs `processes.adopt_orphans`: drivers are orphans by birth, so that
    they are waited for like any child, and outlive the process they were forked from, which a notebook can kill.

    No threads of its own: at the limit of processes none can be started.
    """

    def __init__(self):
        self.is_over = False  # nothing is started any more
        self._lock = threading.Lock()
        self._parent: Optional[subprocess.Popen] = None
        self._drivers: set = set()

    def drive(self, job: dict, place: Path, limit: float):
        """Has a job done, with a folder for both sides to meet in: the answer, None if there is none, and the exit code.

        Raises ChildProcessError when no process can be started.
        """
        place.mkdir()
        (place / JOB).write_text(json.dumps(job), "utf-8")
        os.mkfifo(place / ANSWER)  # which takes an answer on a full disk as well
        with open(os.open(place / ANSWER, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as pipe:
            with self._lock:
                pid = self._fork(place)
                self._drivers.add(pid)
            end = time.monotonic() + limit
            try:
                said = _read(pipe.fileno(), end)
            finally:
                status = _end(pid, end)
                with self._lock:
                    self._drivers.discard(pid)
                    self._sweep()  # what a killed driver had below it came to us
        try:
            answer = json.loads(said)
        except ValueError:
            answer = None
        return answer, -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)

    def close(self):
        """Ends the process that drivers are forked from."""
        with self._lock:
            self._end_parent()

    def _fork(self, place: Path) -> int:
        why = "it ended"
        for attempt in range(_TRIES):
            if self.is_over:
                break
            try:
                return self._ask(place)
            except (OSError, ValueError) as error:
                # Somebody has killed or stopped it, or there is no room for one more process. What it may have begun goes too.
                why = str(error)
                self._end_parent()
                self._sweep()
                time.sleep(0.2 * attempt)
        raise ChildProcessError(f"no process can be started that drives a notebook: {why}")

    def _ask(self, place: Path) -> int:
        if self._parent is None:
            self._parent = subprocess.Popen([sys.executable, str(Path(__file__).with_name("driver.py"))],
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        self._parent.stdin.write(f"{place}\n".encode())
        self._parent.stdin.flush()
        if not select.select([self._parent.stdout], [], [], _PATIENCE)[0]:
            raise OSError("it does not answer")
        said = self._parent.stdout.readline().decode("utf-8", "replace").strip()
        if not said.isdigit():
            raise OSError(said or "it ended")
        return int(said)

    def _sweep(self):
        processes.kill_below(os.getpid(), keep=self._drivers | ({self._parent.pid} if self._parent else set()))

    def _end_parent(self):
        if self._parent is None:
            return
        self._parent.kill()
        self._parent.wait()
        for pipe in (self._parent.stdin, self._parent.stdout):
            try:
                pipe.close()
            except OSError:
                pass  # a line that it did not read
        self._parent = None


def _read(pipe: int, end: float) -> bytes:
    """All that is written until the writer is gone or its time is over. There was one before we were told its number."""
    said, ready = b"", select.poll()
    ready.register(pipe, select.POLLIN)
    while ready.poll(max(0.0, end - time.monotonic()) * 1000):
        block = os.read(pipe, 1 << 16)
        if not block or len(said) > _MOST:
            break
        said += block
    return said


def _end(pid: int, end: float) -> int:
    """Waits for the end of a driver; at its limit, makes it one, with all that is below."""
    while time.monotonic() < end:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.005)
    for each in [pid, *processes.descendants(pid)]:
        try:
            os.kill(each, signal.SIGKILL)
        except OSError:
            pass
    return os.waitpid(pid, 0)[1]
