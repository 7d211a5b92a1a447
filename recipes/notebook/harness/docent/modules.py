"""Which modules a notebook imports: its code as IPython would read it, looked at as a syntax tree, nothing executed."""
from __future__ import annotations

import ast
import warnings
from typing import Iterator, Optional

from IPython.core.inputtransformer2 import TransformerManager

from .notebook import Notebook

# Cell magics and line magics whose text is Python of the same kernel.
_CELL_MAGICS = {"capture", "prun", "time", "timeit"}
_LINE_MAGICS = {"prun", "time", "timeit"}
_UNNAMED = {"__future__", "builtins", "sys", "os", "copy"}  # nb-wrangler leaves these out
_FORGIVING = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}


class Import:
    """One import in a cell: a module, and the names taken from it."""

    def __init__(self, module: str, names: tuple, index: int, line: Optional[int], is_required: bool):
        self.module, self.names, self.index, self.line, self.is_required = module, names, index, line, is_required

    @property
    def key(self) -> tuple:
        return (self.module, self.names)


def imports(book: Notebook) -> list:
    """All imports of a notebook's cells that are executed, in order."""
    found = []
    for cell in book.cells:
        if not cell.is_code or "skip-execution" in cell.tags:
            continue
        for module, names, line, is_required in _of_source(cell.source):
            line = _line_in(cell.source, line, module)
            found.append(Import(module, names, cell.index, line, is_required and "raises-exception" not in cell.tags))
    return found


def names(book: Notebook) -> list:
    """The top-level modules that a notebook names, in the form of a curated spec's `nb_to_imports`."""
    found = set()
    for cell in book.cells:
        if cell.is_code:
            found |= {module.split(".")[0] for module, *_ in _of_source(cell.source)}
    return sorted(found - _UNNAMED)


def _of_source(source: str, is_required: bool = True) -> Iterator[tuple]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a stranger's code, in a place where nobody reads them
            code = TransformerManager().transform_cell(source)
            tree = compile(code, "cell", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return  # what the tier `notebooks` will say with more right
    yield from _of_nodes(tree.body, is_required)


def _of_nodes(nodes, is_required: bool) -> Iterator[tuple]:
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, (), node.lineno, is_required
        elif isinstance(node, ast.ImportFrom):
            if node.module and not node.level:
                yield node.module, tuple(a.name for a in node.names if a.name != "*"), node.lineno, is_required
        elif isinstance(node, ast.If):
            if not _is_type_checking(node.test):
                yield from _of_nodes(node.body, False)
            yield from _of_nodes(node.orelse, False)
        elif isinstance(node, ast.Try):
            forgives = any(_forgives(handler) for handler in node.handlers)
            yield from _of_nodes(node.body, is_required and not forgives)
            for handler in node.handlers:
                yield from _of_nodes(handler.body, False)
            yield from _of_nodes(node.orelse, is_required and not forgives)
            yield from _of_nodes(node.finalbody, is_required)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            yield from _of_magic(node.value, is_required)
        else:
            for _, part in ast.iter_fields(node):
                if isinstance(part, list) and part and isinstance(part[0], ast.stmt):
                    yield from _of_nodes(part, is_required)


def _of_magic(call: ast.Call, is_required: bool) -> Iterator[tuple]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    texts = [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    if name == "run_cell_magic" and len(texts) == 3 and texts[0] in _CELL_MAGICS:
        code = texts[2]
    elif name == "run_line_magic" and len(texts) == 2 and texts[0] in _LINE_MAGICS:
        code = texts[1]
    else:
        return
    for module, names, _, required in _of_source(code, is_required):
        yield module, names, None, required


def _is_type_checking(test) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING")


def _forgives(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(kind is None or (isinstance(kind, ast.Name) and kind.id in _FORGIVING) for kind in kinds)


def _line_in(source: str, line: Optional[int], module: str) -> Optional[int]:
    """The line of the import in the cell itself: IPython's reading may have moved it."""
    lines = source.splitlines()
    if line is not None and line <= len(lines) and module in lines[line - 1]:
        return line
    return next((number for number, text in enumerate(lines, 1) if "import" in text and module in text), None)
