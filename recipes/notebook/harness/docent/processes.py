"""Processes and their memory, as /proc and the control group show them."""
from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path
from typing import Optional

_PAGE = os.sysconf("SC_PAGE_SIZE")
_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans():
    """Makes this process the parent of every orphan below it, so that none escapes by a double fork or setsid."""
    try:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (OSError, AttributeError):
        pass  # orphans then end with the container


def prefer_for_oom(pid: int, score: int):
    """Has the kernel kill this process before others when memory runs out; raising the score needs no privilege."""
    try:
        Path(f"/proc/{pid}/oom_score_adj").write_text(str(score))
    except OSError:
        pass


def _parents() -> dict:
    parents = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            stat = Path(f"/proc/{name}/stat").read_bytes()
        except OSError:
            continue
        fields = stat[stat.rfind(b")") + 2:].split()
        if len(fields) > 1:
            parents[int(name)] = (int(fields[1]), fields[0] == b"Z")
    return parents


def descendants(root: int, keep=()) -> list:
    """All living processes below one, zombies left out, and those in `keep` with all below them."""
    parents = _parents()
    children: dict = {}
    for pid, (parent, _) in parents.items():
        children.setdefault(parent, []).append(pid)
    found, open_ = [], [root]
    while open_:
        for pid in children.get(open_.pop(), []):
            if pid in keep:
                continue
            open_.append(pid)
            if not parents[pid][1]:
                found.append(pid)
    return found


def memory(pids) -> int:
    """Resident memory of some processes together, in bytes."""
    total = 0
    for pid in pids:
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
        except (OSError, ValueError, IndexError):
            continue
    return total


def high_water(pid: int) -> int:
    """The most resident memory that one process ever had, in bytes."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return 0


def reap(keep=()):
    """Takes leave of children that ended, but for those in `keep`, for whom somebody waits. Each one that nobody takes
    leave of counts against the limit of processes for as long as the step goes on."""
    for pid, (parent, is_zombie) in _parents().items():
        if is_zombie and parent == os.getpid() and pid not in keep:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass


def kill_below(root: int, limit: float = 10.0, keep=()) -> bool:
    """Kills everything below a process until nothing is left; False if something outlived the limit."""
    end = time.monotonic() + limit
    while True:
        left = descendants(root, keep)
        if root == os.getpid():
            reap(keep)
        if not left:
            return True
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        if time.monotonic() > end:
            return False
        time.sleep(0.01)


def _cgroup_file(old: str, new: str) -> Optional[Path]:
    """A file of this process's own control group, of either version."""
    try:
        groups = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    for group in groups:
        _, controllers, path = group.split(":", 2)
        if "memory" in controllers.split(","):
            root, name = Path("/sys/fs/cgroup/memory"), old
        elif not controllers:
            root, name = Path("/sys/fs/cgroup"), new
        else:
            continue
        # In a container the own group is often mounted as the root, whatever its path says.
        for candidate in (root / path.lstrip("/") / name, root / name):
            if candidate.is_file():
                return candidate
    return None


def oom_kills() -> Optional[int]:
    """How many processes of this control group were killed for memory; None where that cannot be seen."""
    path = _cgroup_file("memory.oom_control", "memory.events")
    if path is None:
        return None
    try:
        for line in path.read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    except (OSError, ValueError):
        pass
    return None
