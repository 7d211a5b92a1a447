"""A copy of the checkout for each notebook, so that notebooks of one folder do not see each other's files.

Real copies, because a hard link shares what is written through it. Where the file system can clone, all is cloned.
Where it cannot, the smallest files are copied up to a limit, and the rest, which are data, are hard links that nobody
may write to; to replace such a file works, to write into it fails with «permission denied».
"""
from __future__ import annotations

import fcntl
import os
import shutil
import stat
from pathlib import Path

from . import text

FOLDER = ".docent-scratch"
_LEFT_OUT = {".git", FOLDER, ".ipynb_checkpoints"}
_NOT_WRITTEN = {"__pycache__", ".ipynb_checkpoints"}
_MOST_WROTE = 50
_MOST_LOOKED_AT = 5000
_FICLONE = 0x40049409


class Checkout:
    """What is to be copied, looked at once."""

    def __init__(self, root: Path, copy_limit: int):
        self.root = root
        self.folders: list = []
        self.links: list = []
        self.files: list = []
        sizes = []
        for at, folders, names in os.walk(root):
            below = os.path.relpath(at, root)
            folders[:] = sorted(name for name in folders if name not in _LEFT_OUT)
            for name in list(folders):
                if os.path.islink(os.path.join(at, name)):
                    folders.remove(name)
                    names.append(name)
            self.folders += [os.path.normpath(os.path.join(below, name)) for name in folders]
            for name in names:
                path = os.path.normpath(os.path.join(below, name))
                status = os.lstat(os.path.join(at, name))
                if stat.S_ISLNK(status.st_mode):
                    self.links.append(path)
                elif stat.S_ISREG(status.st_mode):
                    sizes.append((status.st_size, path))
        copied = 0
        for size, path in sorted(sizes):
            copied += size
            self.files.append((path, copied <= copy_limit))

    def copy(self, place: Path):
        """Makes the copy."""
        place.mkdir(parents=True)
        for path in self.folders:
            (place / path).mkdir()
        for path in self.links:
            os.symlink(os.readlink(self.root / path), place / path)
        clones = True
        for path, is_small in self.files:
            source, target = self.root / path, place / path
            clones = clones and _clone(source, target)
            if clones:
                continue
            if is_small or not _link(source, target):
                shutil.copy2(source, target)


def _clone(source: Path, target: Path) -> bool:
    try:
        with open(source, "rb") as old, open(target, "xb") as new:
            fcntl.ioctl(new.fileno(), _FICLONE, old.fileno())
        shutil.copystat(source, target)
        return True
    except OSError:
        target.unlink(missing_ok=True)
        return False


def _link(source: Path, target: Path) -> bool:
    try:
        os.chmod(source, stat.S_IMODE(os.stat(source).st_mode) & ~0o222)
        os.link(source, target)
        return True
    except OSError:
        return False


class Snapshot:
    """What is in a copy before a notebook runs, to see afterwards what it wrote."""

    def __init__(self, place: Path):
        self.place = place
        self.files = dict(_files(place))

    def wrote(self, folder: Path):
        """New and changed files, relative to a folder, in order: the first of them, and how many more there are."""
        found, count = [], 0
        for path, mark in _files(self.place):
            if self.files.get(path) != mark:
                count += 1
                if count <= _MOST_LOOKED_AT:
                    found.append(text.line(os.path.relpath(path, folder), 200))
        found = sorted(found)[:_MOST_WROTE]
        return found, count - len(found)


def _files(place: Path):
    for at, folders, names in os.walk(place):
        folders[:] = [name for name in folders if name not in _NOT_WRITTEN]
        for name in names:
            path = os.path.join(at, name)
            try:
                status = os.lstat(path)
            except OSError:
                continue
            yield path, (stat.S_IFMT(status.st_mode), status.st_size, status.st_mtime_ns, status.st_ino)


def remove(place: Path):
    """Removes a copy, folders included that a notebook made unreadable."""
    for at, folders, _ in os.walk(place):
        for name in folders:
            path = os.path.join(at, name)
            if not os.path.islink(path):
                try:
                    os.chmod(path, 0o700)
                except OSError:
                    pass
    shutil.rmtree(place, ignore_errors=True)
