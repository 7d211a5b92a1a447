"""Notebook files as they are found: read with tolerance, refused with a reason, written back with their outputs."""
from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Optional

from . import text

MOST_BYTES = 128 * 1024 * 1024
_PYTHON = re.compile(r"i?python\d*", re.IGNORECASE)


class InvalidNotebook(Exception):
    """The file is no notebook that can be run; the text says why."""


class Cell:
    """One cell; `document` is what is written back."""

    def __init__(self, document: dict, index: int, code_index: Optional[int]):
        self.document = document
        self.index = index
        self.code_index = code_index
        self.source = _joined(document.get("source"))
        metadata = document.get("metadata")
        self.tags = _tags(metadata if isinstance(metadata, dict) else {})

    @property
    def is_code(self) -> bool:
        return self.code_index is not None


class Notebook:
    """A notebook of nbformat 4; older ones are brought to it."""

    def __init__(self, document: dict):
        self.document = document
        self.metadata = document["metadata"]
        self.cells = []
        codes = 0
        for index, cell in enumerate(document["cells"]):
            is_code = cell.get("cell_type") == "code"
            codes += is_code
            self.cells.append(Cell(cell, index, codes if is_code else None))

    @property
    def skip(self) -> Optional[str]:
        """Why the notebook declares not to be run, if it does."""
        docent = self.metadata.get("docent")
        if isinstance(docent, dict) and docent.get("skip"):
            reason = docent["skip"]
            return text.line(reason) if isinstance(reason, str) else "metadata.docent.skip is set"
        if "skip-execution" in _tags(self.metadata):
            return "the notebook has the tag skip-execution"
        return None

    @property
    def kernel(self) -> Optional[str]:
        """The name of the kernel, or None for Python's: a curator's own name for a Python kernel means nothing here."""
        return self.kernel_beside("")

    def kernel_beside(self, ours: str) -> Optional[str]:
        """The same, where the environment's Python kernel has a name of its own as well."""
        spec = self.metadata.get("kernelspec")
        spec = spec if isinstance(spec, dict) else {}
        info = self.metadata.get("language_info")
        info = info if isinstance(info, dict) else {}
        name = str(spec.get("name") or "")
        language = str(spec.get("language") or info.get("name") or "")
        if ours and name.lower() == ours.lower():
            return None
        if language:
            return None if _PYTHON.fullmatch(language) else name or language
        return None if not name or _PYTHON.fullmatch(name) else name

    def heading(self, index: int) -> Optional[str]:
        """The nearest heading above a cell."""
        for cell in reversed(self.cells[:index]):
            if cell.document.get("cell_type") != "markdown":
                continue
            found = _last_heading(cell.source)
            if found:
                return text.line(found, 200)
        return None

    def place(self, cell: Cell, line: Optional[int] = None, count: Optional[int] = None) -> dict:
        """Where in the notebook something happened, for a report."""
        return {
            "index": cell.index,
            "code_index": cell.code_index,
            "execution_count": count,
            "heading": self.heading(cell.index),
            "excerpt": excerpt(cell.source, line),
            "line": line,
        }


def read(path: Path) -> Notebook:
    """Reads a notebook file.

    Raises InvalidNotebook, with one line on what is wrong with it.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InvalidNotebook(f"larger than {MOST_BYTES >> 20} MiB")
        content = path.read_bytes()
    except OSError as error:
        raise InvalidNotebook(f"cannot be read: {error.strerror}") from None
    try:
        document = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InvalidNotebook(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise InvalidNotebook(f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except (RecursionError, ValueError) as error:
        raise InvalidNotebook(f"not JSON that can be read: {type(error).__name__}") from None
    return Notebook(_version_4(document))


def _version_4(document) -> dict:
    if not isinstance(document, dict):
        raise InvalidNotebook(f"not a notebook: a JSON {type(document).__name__} where an object should be")
    major = document.get("nbformat")
    if major == 3:
        document = _from_version_3(document)
    elif not isinstance(major, int) or isinstance(major, bool):
        raise InvalidNotebook("not a notebook: it has no number `nbformat`")
    elif major != 4:
        raise InvalidNotebook(f"nbformat {major} is not supported: save it with a newer Jupyter")
    if not isinstance(document.get("metadata"), dict):
        document["metadata"] = {}
    cells = document.get("cells")
    if not isinstance(cells, list):
        raise InvalidNotebook("not a notebook: it has no list `cells`")
    for index, cell in enumerate(cells):
        if not isinstance(cell, dict) or not isinstance(cell.get("cell_type"), str):
            raise InvalidNotebook(f"cell {index} is no cell: it has no `cell_type`")
        source = cell.get("source", "")
        if not isinstance(source, str) and not (isinstance(source, list) and all(isinstance(s, str) for s in source)):
            raise InvalidNotebook(f"cell {index} has no text as its `source`")
    return document


def _from_version_3(old: dict) -> dict:
    cells = []
    sheets = old.get("worksheets")
    for sheet in sheets if isinstance(sheets, list) else []:
        for cell in (sheet.get("cells") or []) if isinstance(sheet, dict) else []:
            if not isinstance(cell, dict):
                raise InvalidNotebook("a cell of its worksheet is no object")
            metadata = cell.get("metadata") or {}
            if cell.get("cell_type") == "code":
                cells.append({"cell_type": "code", "metadata": metadata, "source": cell.get("input", ""),
                              "execution_count": None, "outputs": []})
            elif cell.get("cell_type") == "heading":
                source = "#" * int(cell.get("level") or 1) + " " + _joined(cell.get("source"))
                cells.append({"cell_type": "markdown", "metadata": metadata, "source": source})
            else:
                kind = "markdown" if cell.get("cell_type") in ("markdown", "html") else "raw"
                cells.append({"cell_type": kind, "metadata": metadata, "source": cell.get("source", "")})
    return {"nbformat": 4, "nbformat_minor": 4, "metadata": old.get("metadata") or {}, "cells": cells}


def _joined(source) -> str:
    if isinstance(source, list):
        return "".join(part for part in source if isinstance(part, str))
    return source if isinstance(source, str) else ""


def _tags(metadata: dict) -> set:
    tags = metadata.get("tags")
    return {tag for tag in tags if isinstance(tag, str)} if isinstance(tags, list) else set()


def _last_heading(source: str) -> Optional[str]:
    found, fence, before = None, None, ""
    for raw in source.splitlines():
        line = raw.strip()
        if fence:
            fence = None if line.startswith(fence) else fence
            continue
        if line.startswith(("```", "~~~")):
            fence = line[:3]
        elif re.match(r"#{1,6}(\s|$)", line):
            found = re.sub(r"\s+#+$", "", line.lstrip("#").strip()) or found
        elif before and re.fullmatch(r"=+|-{2,}", line):
            found = before
        before = line if fence is None else ""
    return found


def excerpt(source: str, line: Optional[int]) -> str:
    """The failing line with three lines either side; without one, the beginning. At most 20 lines."""
    lines = source.splitlines()
    if line is not None and 1 <= line <= len(lines):
        first, last = max(1, line - 3), min(len(lines), line + 3)
    else:
        first, last = 1, min(len(lines), 20)
    width = len(str(last))
    shown = [
        f"{'>' if number == line else ' '} {number:>{width}} | {text.cut(text.plain(lines[number - 1]), 200)}".rstrip()
        for number in range(first, last + 1)
    ]
    return "\n".join(shown)
