"""Python that proves or records, as a syntax tree: tests, and the cells of notebooks.

Comments and layout are not in it, so a digest of it changes only with what is done."""

import ast
import json
import re
from collections.abc import Iterable, Iterator
from functools import cache, cached_property

from lab.check import seals

_GAP = "[a-z0-9-]+"  # what is filled into a text


@cache  # a server asks again after each edit
def module(text: str, notebook: bool = False) -> ast.Module:
    """The tree of a module, or of all cells of a notebook, one behind the other. Raises
    SyntaxError or ValueError when it is neither."""
    return ast.parse("\n".join(map(_plain, _cells(text))) if notebook else text)


def _cells(text: str) -> Iterator[str]:
    for cell in json.loads(text)["cells"]:
        source = "".join(cell.get("source", []))
        if cell.get("cell_type") == "code":
            # `%%node` and its kind: what the cell runs is a text
            yield repr(source) if source.startswith("%%") else source


def _plain(source: str) -> str:
    return re.sub(r"^(\s*)[%!].*$", r"\1pass", source, flags=re.MULTILINE)


def walk(tree: ast.AST) -> Iterator[ast.AST]:
    """`ast.walk` in another order, in half the time: the gates read every test."""
    todo = [tree]
    while todo:
        node = todo.pop()
        yield node
        for value in node.__dict__.values():
            if type(value) is list:
                todo += [one for one in value if isinstance(one, ast.AST)]
            elif isinstance(value, ast.AST):
                todo.append(value)


def digest(*parts: ast.AST) -> str:
    """Twelve characters that stand for these trees, in their order."""
    flat: list[str] = []
    for part in parts:
        _flatten(part, flat)
    return seals.short(" ".join(flat))


def _flatten(node: ast.AST, into: list[str]) -> None:
    into.append(type(node).__name__)
    for name in node._fields:
        value = getattr(node, name, None)
        if isinstance(value, ast.AST):
            _flatten(value, into)
        elif type(value) is list:
            into.append("[")
            for one in value:
                if isinstance(one, ast.AST):
                    _flatten(one, into)
                else:
                    into.append(repr(one))
            into.append("]")
        elif not isinstance(value, ast.expr_context):
            into.append(repr(value))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function, wherever it stands in other statements."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
        if isinstance(node, ast.stmt | ast.excepthandler):
            yield from functions(node)


class Source:
    """A module's statements, and which of them make what."""

    def __init__(self, tree: ast.Module) -> None:
        self.statements = tree.body

    @cached_property
    def bound(self) -> dict[str, list[int]]:
        """The statements that give a name to the module, by that name."""
        found: dict[str, list[int]] = {}
        for index, statement in enumerate(self.statements):
            for name in set(_bound(statement)):
                found.setdefault(name, []).append(index)
        return found

    @cached_property
    def texts(self) -> tuple[dict[str, set[int]], list[tuple[int, re.Pattern]]]:
        """What could be a key of evidence, with its statement's number: texts, and those
        with gaps."""
        plain: dict[str, set[int]] = {}
        gaps = []
        for index, statement in enumerate(self.statements):
            for node in walk(statement):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    plain.setdefault(node.value, set()).add(index)
                elif isinstance(node, ast.JoinedStr) and (pattern := _pattern(node)):
                    gaps.append((index, pattern))
        return plain, gaps

    def making(self, key: str) -> set[int]:
        """The statements that name the evidence `topic/name`, by either form."""
        plain, gaps = self.texts
        forms = (key, key.partition("/")[2])
        found = {i for i, pattern in gaps if any(pattern.fullmatch(n) for n in forms)}
        return found.union(*(plain.get(form, ()) for form in forms))

    def behind(self, start: Iterable[int]) -> list[ast.stmt]:
        """These statements and all that they rest on, in the module's order."""
        found, todo = set(), list(start)
        while todo:
            index = todo.pop()
            if index not in found:
                found.add(index)
                for name in names(self.statements[index]):
                    todo += self.bound.get(name, ())
        return [self.statements[index] for index in sorted(found)]


def names(tree: ast.AST) -> set[str]:
    """The names that a piece of code reads, those of the fixtures that it takes too."""
    found = set()
    for node in walk(tree):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
    return found


@cache
def source(text: str, notebook: bool) -> Source:
    """The statements of a text, read once."""
    return Source(module(text, notebook))


@cache
def recording(path: str, text: str, key: str) -> str:
    """The digest of the code in `path` that records the evidence `key`: of a notebook all
    that it does, of a module what the key rests on. Empty when nothing names the key."""
    notebook = path.endswith(".ipynb")
    try:
        found = source(text, notebook)
    except (SyntaxError, ValueError):
        return ""
    if not (made := found.making(key)):
        return ""
    return _measuring(text) if notebook else digest(*found.behind(made))


@cache
def _measuring(text: str) -> str:
    """The digest of a notebook without what only shows."""
    shows = re.compile(r"(?:show|print)\(|\w+$|'%%")
    return digest(
        *(
            one
            for one in source(text, True).statements
            if not (isinstance(one, ast.Expr) and shows.match(ast.unparse(one)))
        )
    )


def verdicts(path: str, text: str) -> dict[str, set[str]]:
    """What code that records says of claims: `verdict=` by the key that stands beside it,
    in either of its forms."""
    found: dict[str, set[str]] = {}
    if "verdict=" not in text:
        return found
    for node in walk(module(text, path.endswith(".ipynb"))):
        if isinstance(node, ast.Call) and node.args and node.keywords:
            said = next((k.value for k in node.keywords if k.arg == "verdict"), None)
            if isinstance(said, ast.Constant) and not _is_mark(node):
                first = ast.unparse(node.args[0]).strip("\"'").removeprefix("f'")
                name = first.rsplit("/", 1)[-1].strip("\"'")
                found.setdefault(name, set()).add(said.value)
    return found


def _is_mark(call: ast.Call) -> bool:
    return ast.unparse(call.func).endswith("mark.claim")


def _bound(statement: ast.stmt) -> Iterator[str]:
    """Names that a statement of a module binds; not what it binds within functions."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
        return
    if isinstance(statement, ast.Import | ast.ImportFrom):
        for alias in statement.names:
            yield (alias.asname or alias.name).partition(".")[0]
        return
    for node in walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _pattern(node: ast.JoinedStr) -> re.Pattern | None:
    parts = [
        re.escape(str(part.value)) if isinstance(part, ast.Constant) else _GAP
        for part in node.values
    ]
    # `f"{topic}/{name}"` is every key: what it is given says which
    fixed = "".join(part for part in parts if part != _GAP).rpartition("/")[2]
    return _compiled("".join(parts)) if fixed.strip("-\\") else None


@cache
def _compiled(pattern: str) -> re.Pattern:
    return re.compile(pattern)
