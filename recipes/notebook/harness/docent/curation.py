"""What a spec adds to the plan: which requirement lines serve which selection, variables for kernels, what is switched off."""
from __future__ import annotations

import re
from typing import Optional

_OFF = {"false", "no", "off", "0"}
_MOST_VALUE = 1 << 17  # characters of one variable, expanded
_REFERENCE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}|\$(\w+)|\{(\w+)\}")


class Curation:
    """The key `curation` of the plan; without one, all of it is empty and nothing changes."""

    def __init__(self, document: Optional[dict]):
        self.is_given = isinstance(document, dict)
        document = document if isinstance(document, dict) else {}
        self.python_version = str(document.get("python_version") or "").strip()
        self.kernel_name = str(document.get("kernel_name") or "")
        self.display_name = str(document.get("display_name") or self.kernel_name)
        self.requirements = [(str(item["path"]), _texts(item.get("selections"))) for item in document.get("requirements") or []]
        self.packages = list(document.get("packages") or [])
        self.overrides = list(document.get("overrides") or [])
        self.unsupported = _texts(document.get("unsupported"))
        mamba = document.get("mamba") or {}
        self.mamba_channels = _texts(mamba.get("channels")) or ["conda-forge"]
        self.mamba_packages = list(mamba.get("packages") or [])
        self.mamba_parts = _texts(mamba.get("parts"))
        self.selections = dict(document.get("selections") or {})
        self._variables = [document.get(name) or {} for name in ("environment_vars", "test_environment_vars")]

    def declined(self, notebook: str) -> Optional[str]:
        """Why the curator does not want this notebook executed, if so."""
        said = self.selections.get(notebook)
        said = said if isinstance(said, dict) else {}
        if str(said.get("papermill", True)).strip().lower() not in _OFF:
            return None
        return f"the selection {said.get('selection') or '?'} says papermill: false"

    def variables(self, base: dict) -> dict:
        """The variables for kernels, over those that are there already."""
        made = dict(base)
        for layer in self._variables:
            made.update(expanded({str(name): value for name, value in layer.items()}, made))
        return made


def _texts(values) -> list:
    return [str(value) for value in values or []]


def expanded(layer: dict, base: dict) -> dict:
    """Fills in `$X`, `${X}`, `${X:-default}` and `{X}`. A name means the layer's own value; its own name, and what the
    layer lacks, mean what was there before. What is nowhere stays as it is written."""
    done: dict = {}

    def value(name: str, open_: tuple) -> Optional[str]:
        if name in layer and name not in open_:
            if name not in done:
                done[name] = fill("" if layer[name] is None else str(layer[name]), (*open_, name))
            return done[name]
        return base.get(name)

    def fill(said: str, open_: tuple) -> str:
        if len(open_) > 100:
            return said
        size = 0

        def one(match) -> str:
            nonlocal size
            name = match[1] or match[3] or match[4]
            found = value(name, open_)
            if match[2] is not None and not found:
                found = match[2]
            found = match[0] if found is None else found
            size += len(found)
            # Names that double each other would fill the memory.
            return found if size <= _MOST_VALUE else match[0]

        return _REFERENCE.sub(one, said)

    return {name: value(name, ()) for name in layer if name and "=" not in name and "\0" not in f"{name}{layer[name]}"}
