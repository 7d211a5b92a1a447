"""A notebook's outputs, put together from the kernel's messages as a frontend would, up to a size."""
from __future__ import annotations

import json

_NOTE = "docent: further output was dropped: the notebook reached its limit of {limit} bytes\n"


class Budget:
    """What a notebook's outputs may take together, in bytes."""

    def __init__(self, limit: int):
        self.limit = limit
        self.used = 0


class Outputs:
    """The outputs of one cell."""

    def __init__(self, budget: Budget, displays: dict):
        self.budget = budget
        self.displays = displays  # display id -> outputs of that id, over the whole notebook
        self.items: list = []
        self.error = None
        self._size = 0
        self._clear_next = False
        self._is_full = False

    def take(self, kind: str, content: dict):
        """Takes one message; kinds that make no output (comms, state) are left alone."""
        if kind == "clear_output":
            self._clear_next = bool(content.get("wait"))
            if not self._clear_next:
                self._clear()
        elif kind == "stream":
            self._stream(str(content.get("name") or "stdout"), str(content.get("text") or ""))
        elif kind in ("display_data", "execute_result"):
            self._display(kind, content)
        elif kind == "update_display_data":
            self._update(content)
        elif kind == "error":
            self.error = {key: content.get(key) for key in ("ename", "evalue", "traceback")}
            self._add({"output_type": "error", "ename": str(content.get("ename") or ""),
                       "evalue": str(content.get("evalue") or ""),
                       "traceback": [str(line) for line in content.get("traceback") or []]}, always=True)

    def document(self) -> list:
        """As nbformat wants them."""
        return [
            {**item, "text": "".join(item["text"])} if item["output_type"] == "stream" else item for item in self.items
        ]

    def _stream(self, name: str, text: str):
        if self._clear_next:
            self._clear()
        last = self.items[-1] if self.items else {}
        if last.get("output_type") == "stream" and last["name"] == name and not self._is_full:
            if self._pay(len(text)):
                last["text"].append(text)
            return
        self._add({"output_type": "stream", "name": name, "text": [text]})

    def _display(self, kind: str, content: dict):
        item = {"output_type": kind, "data": _map(content.get("data")), "metadata": _map(content.get("metadata"))}
        if kind == "execute_result":
            item["execution_count"] = content.get("execution_count")
        name = _map(content.get("transient")).get("display_id")
        if self._add(item) and isinstance(name, str):
            self.displays.setdefault(name, []).append(item)

    def _update(self, content: dict):
        name = _map(content.get("transient")).get("display_id")
        data = _map(content.get("data"))
        for item in self.displays.get(name, []) if isinstance(name, str) else []:
            grown = _size(data) - _size(item["data"])
            if grown <= 0 or self._pay(grown):
                item["data"], item["metadata"] = data, _map(content.get("metadata"))

    def _add(self, item: dict, always: bool = False) -> bool:
        if self._clear_next:
            self._clear()
        if not (self._pay(_size(item)) or always):
            return False
        self.items.append(item)
        return True

    def _pay(self, size: int) -> bool:
        if self.budget.used + size > self.budget.limit:
            if not self._is_full:
                self._is_full = True
                self.items.append({"output_type": "stream", "name": "stderr",
                                   "text": [_NOTE.format(limit=self.budget.limit)]})
            return False
        self.budget.used += size
        self._size += size
        return True

    def _clear(self):
        self.items.clear()
        self.budget.used -= self._size
        self._size, self._clear_next, self._is_full = 0, False, False


def _map(value) -> dict:
    return value if isinstance(value, dict) else {}


def _size(item) -> int:
    return len(json.dumps(item, default=str))
