"""Requirement lines of strangers: names and versions from the index, and nothing that reaches elsewhere unless the
operator named the host."""
from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Optional
from urllib.parse import urlsplit

from . import text

_NAME = re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(\[[^\]]*\])?\s*")
_OPTION = re.compile(r"(--?[A-Za-z][A-Za-z-]*)(?:[=\s]\s*|(?=\S)|$)(.*)")
_ADDRESS = re.compile(r"@\s*((?:git\+)?https://[^\s;#]+)(?:#[\w=&./-]*)?\s*(?:;.*)?")
_MOST_BYTES = 1 << 20  # of one file
_MOST_ALL = 8 << 20
_MOST_FILES = 500
_MOST_DEEP = 20
_MOST_LINES = 20_000


class Refused(Exception):
    """A line that docent does not follow; the text names file, line and reason."""


class Requirement:
    """One line."""

    def __init__(self, file: str, number: int, line: str, name: str, is_constraint: bool, where: str = "", selections=()):
        self.file, self.number, self.line, self.name, self.is_constraint = file, number, line, name, is_constraint
        self.where = where or f"{file}:{number}"
        self.selections = list(selections)

    @property
    def place(self) -> str:
        serves = f" (for {', '.join(text.line(name, 60) for name in self.selections)})" if self.selections else ""
        return f"{text.line(self.where)}: {text.line(self.line, 120)}{serves}"


class Requirements:
    """All lines of some requirement files, of the files that these include, and of a spec's own lists."""

    def __init__(self, root: Path, files, hosts=()):
        self.root = root
        self.hosts = {str(host).lower() for host in hosts}
        self.lines: list = []
        self.overrides: list = []
        self.allows_previews = False
        self._seen: dict = {}
        self._bytes = 0
        for file in files:
            path, selections = file if isinstance(file, tuple) else (file, ())
            self._read(path, None, False, tuple(selections), 0)

    @classmethod
    def of_plan(cls, plan) -> "Requirements":
        """Those of a plan: a spec's, or the repository's files."""
        hosts = plan.settings.get("allow_direct_urls") or []
        made = cls(plan.root, plan.curation.requirements if plan.curation.is_given else plan.requirements, hosts)
        for item in plan.curation.packages:
            made.listed(made.lines, str(item["list"]), item)
        for item in plan.curation.overrides:
            made.listed(made.overrides, "override_pip_versions", item)
        return made

    def listed(self, lines: list, file: str, item: dict):
        """Takes one line of a list in the spec."""
        where = str(item.get("place") or file)
        for _, line in _logical_lines(str(item["line"])):
            if line.startswith("-"):
                raise Refused(f"{where}: options are not allowed in a list of packages: {text.line(line, 120)}")
            self._take(lines, file, len(lines) + 1, line, False, where, ())

    def _read(self, file: str, named_by: Optional[str], is_constraint: bool, selections: tuple, depth: int):
        place = f"{named_by}: " if named_by else ""
        real = (self.root / file).resolve()
        root = self.root.resolve()
        if root not in real.parents:
            raise Refused(f"{place}{text.line(file)} is not inside the repository")
        if any(ord(letter) < 32 or ord(letter) == 127 for letter in file):
            raise Refused(f"{place}{text.line(file)}: control characters in the name of a requirement file")
        key = (str(real), is_constraint)
        if key in self._seen:
            for line in self._seen[key]:  # it serves these selections as well
                line.selections += [name for name in selections if name not in line.selections]
            return
        if len(self._seen) >= _MOST_FILES or depth > _MOST_DEEP:
            raise Refused(f"{place}more than {_MOST_FILES} requirement files, or included more than {_MOST_DEEP} deep")
        try:
            size = real.stat().st_size if real.is_file() else None
            if size is None or size > _MOST_BYTES:
                raise Refused(f"{place}{file} is no file of at most {_MOST_BYTES >> 20} MiB")
            self._bytes += size
            if self._bytes > _MOST_ALL:
                raise Refused(f"{place}{file}: the requirement files together are larger than {_MOST_ALL >> 20} MiB")
            content = real.read_bytes()
        except OSError as error:
            raise Refused(f"{place}{file} cannot be read: {error.strerror}") from None
        if b"\0" in content:
            raise Refused(f"{place}{file} is no text file: it has a zero byte at {content.index(0)}")
        try:
            said = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            said = content.decode("latin-1")  # comments in old encodings; a name in one is refused below
        own = self._seen[key] = []
        for number, line in _logical_lines(said):
            begun = len(self.lines)
            self._line(file, number, line, is_constraint, selections, depth)
            own += self.lines[begun:]

    def _line(self, file: str, number: int, line: str, is_constraint: bool, selections: tuple, depth: int):
        if line.startswith("-"):
            self._option(file, f"{file}:{number}", line, is_constraint, selections, depth)
        else:
            self._take(self.lines, file, number, line, is_constraint, "", selections)

    def _take(self, lines: list, file: str, number: int, line: str, is_constraint: bool, where: str, selections: tuple):
        place = where or f"{file}:{number}"
        if "${" in line:
            raise Refused(f"{place}: variables are not filled in: {text.line(line, 120)}")
        match = _NAME.match(line)
        rest = line[match.end():] if match else ""
        if match and rest.startswith("@"):
            self._address(place, line, rest)
        elif not match or (rest and rest[0] not in "<>=!~;(" and not rest.startswith("--hash")):
            raise Refused(f"{place}: only names with versions are taken from the index, no address and no path: "
                          f"{text.line(line, 120)}")
        if not line.isascii() or re.search(r"(?:^|\s)--?(?!hash[=\s])[A-Za-z]", rest):
            raise Refused(f"{place}: cannot be followed: {text.line(line, 120)}")
        if len(self.lines) + len(self.overrides) >= _MOST_LINES:
            raise Refused(f"{place}: more than {_MOST_LINES} requirements")
        lines.append(Requirement(file, number, line, normal(match[1]), is_constraint, where, selections))

    def _address(self, place: str, line: str, rest: str):
        """Refuses an address, unless it is plain and the operator named its host."""
        match = _ADDRESS.fullmatch(rest)
        try:
            parts = urlsplit(re.sub(r"^git\+", "", match[1])) if match else None
            host, credential = (parts.hostname or "", parts.username) if parts else ("", None)
        except ValueError:
            host, credential = "", None
        if not host or credential is not None or host.lower() not in self.hosts:
            raise Refused(f"{place}: no address: the operator allows hosts of direct addresses with the setting "
                          f"allow_direct_urls: {text.line(line, 120)}")

    def _option(self, file: str, place: str, line: str, is_constraint: bool, selections: tuple, depth: int):
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
            self._read(other, place, is_constraint or name in ("-c", "--constraint"), selections, depth + 1)
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
            # Under the environment's own Python, which may be an old one.
            parts = {line.name, *(re.sub(affix, "", line.name) for affix in ("^python-", "-python$", "^py"))}
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
