"""Where the processes come from that drive one notebook each: forked from one that has imported everything already, since
the imports cost as much as a small notebook does."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Optional

from . import processes

JOB, ANSWER = "job.json", "answer"


class Nursery:
    """Starts drivers, and ends them at their limits. Needs `processes.adopt_orphans`: drivers are orphans by birth, so that
    they are waited for like any child, and outlive the process they were forked from, which a notebook can kill."""

    def __init__(self):
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
        with open(os.open(place / ANSWER, os.O_RDONLY | os.O_NONBLOCK), "rb") as pipe:
            with self._lock:
                pid = self._fork(place)
                self._drivers.add(pid)
            os.set_blocking(pipe.fileno(), True)
            timer = threading.Timer(limit, _kill_with_all_below, [pid])
            timer.start()
            try:
                said = pipe.read()
                _, status = os.waitpid(pid, 0)
            finally:
                timer.cancel()
                timer.join()
                with self._lock:
                    self._drivers.discard(pid)
                    # What a killed driver had below it came to us.
                    keep = self._drivers | ({self._parent.pid} if self._parent else set())
                    processes.kill_below(os.getpid(), keep=keep)
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
        for _ in range(3):
            if self._parent is None:
                self._parent = subprocess.Popen([sys.executable, str(Path(__file__).with_name("driver.py"))],
                                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
            try:
                self._parent.stdin.write(f"{place}\n".encode())
                self._parent.stdin.flush()
                return int(self._parent.stdout.readline())
            except (OSError, ValueError):
                self._end_parent()  # which somebody has killed, or which was at the limit of processes
        raise ChildProcessError("no process can be started that drives a notebook")

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


def _kill_with_all_below(pid: int):
    for each in [pid, *processes.descendants(pid)]:
        try:
            os.kill(each, signal.SIGKILL)
        except OSError:
            pass
