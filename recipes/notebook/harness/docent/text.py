"""Strangers' text, made fit for a report: no terminal codes, no control characters, never longer than its place."""
from __future__ import annotations

import re

_ANSI = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours and cursor movements
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # titles and links
    r"|\x1b[@-Z\\-_]"
)
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")


def plain(text) -> str:
    """Without terminal codes and control characters; line ends and tabs stay."""
    text = text if isinstance(text, str) else str(text)
    return _CONTROL.sub("\ufffd", _ANSI.sub("", text).replace("\r\n", "\n").replace("\r", "\n"))


def line(text, most: int = 300) -> str:
    """One line of at most so many characters."""
    return cut(" ".join(plain(text).split()), most)


def cut(text: str, most: int) -> str:
    """At most so many characters, the missing end marked."""
    return text if len(text) <= most else text[: most - 1] + "…"


def tail(text: str, most: int) -> str:
    """The end of a text, at most so many characters."""
    text = plain(text)
    return text if len(text) <= most else "…" + text[-(most - 1):]


def last_lines(lines, count: int = 15, width: int = 300) -> list:
    """The last lines of a list of texts that may have several lines each."""
    flat = [part for text in lines for part in plain(text).rstrip("\n").split("\n")]
    return [cut(part, width) for part in flat[-count:]]
