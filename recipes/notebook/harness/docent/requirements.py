"""Requirement files of strangers: names and versions from the index, and nothing that reaches elsewhere."""
from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Optional

from . import text

_NAME = re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(\[[^\]]*\])?\s*")
_OPTION = re.compile(r"(--?[A-Za-z][A-Za-z-]*)(?:[=\s]\s*|(?=\S)|$)(.*)")
_MOST_BYTES = 1 << 20
_MOST_FILES = 200


class Refused(Exception):
    """A line that docent does not follow; the text names file, line and reason."""


class Requirement:
    """One line."""

    def __init__(self, file: str, number: int, line: str, name: str, is_constraint: bool):
        self.file, self.number, self.line, self.name, self.is_constraint = file, number, line, name, is_constraint

    @property
    def place(self) -> str:
        return f"{self.file}:{self.number}: {text.line(self.line, 120)}"


class Requirements:
    """All lines of some requirement files, and of the files that these include."""

    def __init__(self, root: Path, files):
        self.root = root
        self.lines: list = []
        self.allows_previews = False
        self._seen: set = set()
        for file in files:
            self._read(file, None, False)

    def _read(self, file: str, named_by: Optional[str], is_constraint: bool):
        place = f"{named_by}: " if named_by else ""
        real = (self.root / file).resolve()
        root = self.root.resolve()
        if root not in real.parents:
            raise Refused(f"{place}{file} is not inside the repository")
        key = (str(real), is_constraint)
        if key in self._seen:
            return
        if len(self._seen) >= _MOST_FILES:
            raise Refused(f"{place}more than {_MOST_FILES} requirement files")
        self._seen.add(key)
        try:
            if not real.is_file() or real.stat().st_size > _MOST_BYTES:
                raise Refused(f"{place}{file} is no file of at most {_MOST_BYTES >> 20} MiB")
            content = real.read_bytes()
        except OSError as error:
            raise Refused(f"{place}{file} cannot be read: {error.strerror}") from None
        try:
            said = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            said = content.decode("latin-1")  # comments in old encodings; a name in one is refused below
        for number, line in _logical_lines(said):
            self._line(file, number, line, is_constraint)

    def _line(self, file: str, number: int, line: str, is_constraint: bool):
        place = f"{file}:{number}"
        if "${" in line:
            raise Refused(f"{place}: variables are not filled in: {text.line(line, 120)}")
        if line.startswith("-"):
            self._option(file, place, line, is_constraint)
            return
        match = _NAME.match(line)
        rest = line[match.end():] if match else ""
        if not match or (rest and rest[0] not in "<>=!~;(" and not rest.startswith("--hash")):
            raise Refused(f"{place}: only names with versions are taken from the index, no address and no path: "
                          f"{text.line(line, 120)}")
        if not line.isascii() or re.search(r"(?:^|\s)--?(?!hash[=\s])[A-Za-z]", rest):
            raise Refused(f"{place}: cannot be followed: {text.line(line, 120)}")
        self.lines.append(Requirement(file, number, line, normal(match[1]), is_constraint))

    def _option(self, file: str, place: str, line: str, is_constraint: bool):
        match = _OPTION.match(line)
        name, value = (match[1], match[2].strip().strip("'\"")) if match else (line, "")
        # `-rother.txt` is right as well, for the options of one letter.
        if match and not name.startswith("--") and len(name) > 2:
            name, value = line[:2], line[2:].strip()
        if name == "--pre":
            self.allows_previews = True
        elif name in ("-r", "--requirement", "-c", "--constraint") and value:
            if "://" in value or os.path.isabs(value):
                raise Refused(f"{place}: only files of the repository are included: {text.line(line, 120)}")
            other = os.path.normpath(os.path.join(os.path.dirname(file), value))
            self._read(other, place, is_constraint or name in ("-c", "--constraint"))
        else:
            raise Refused(f"{place}: the option {text.line(name, 40)} is not allowed here: the operator decides where "
                          "packages come from")

    def mentioned(self, said: str) -> list:
        """The lines whose package a resolver's message mentions."""
        words = {normal(word) for word in re.findall(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?", said)}
        return [line for line in self.lines if line.name in words]

    def like(self, names) -> Optional[Requirement]:
        """The line that looks as if it should bring one of these names."""
        wanted = {normal(name) for name in names}
        for line in self.lines:
            parts = {line.name, line.name.removeprefix("python-"), line.name.removesuffix("-python"),
                     line.name.removeprefix("py")}
            if not line.is_constraint and parts & wanted:
                return line
        return None


def normal(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _logical_lines(said: str):
    """Lines without comments, continued ones joined, with the number of their first line."""
    begun, parts = 0, []
    for number, raw in enumerate(re.split(r"\r\n|\r|\n", said), 1):
        begun = begun if parts else number
        line = re.sub(r"(^|\s)#.*$", "", raw)
        if line.endswith("\\") and line == raw:
            parts.append(line[:-1].strip())
            continue
        joined = " ".join([*parts, line.strip()]).strip()
        parts = []
        if joined:
            yield begun, joined
    joined = " ".join(parts).strip()
    if joined:
        yield begun, joined
