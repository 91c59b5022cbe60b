"""Proofs have integrity: pytest collects them, a step of `make test` runs them, and they
assert something that can fail and that depends on what they ran."""

import ast
import posixpath
import re
from collections.abc import Iterator
from functools import cache

from lab.check import Problem, assertions, syntax
from lab.check.content import Tree
from lab.run import suite

_STEPS = (suite.DETERMINISTIC, suite.TIMED, suite.SITE)


def proofs(tree: Tree) -> Iterator[Problem]:
    """Every test that a claim or a question names is one that can fail."""
    for (path, line), name in sorted(_named(tree).items()):
        place = f"{path}:{line}"
        module = syntax.module(tree.files[path])
        for test in _functions(module).get(line, ()):
            for what, mend in _faults(tree, path, module, test):
                yield Problem("proof", place, f"{name} {what}", mend)
    for proof in tree.marks:
        folder = proof.path.split("/")[2]
        if proof.path.startswith("tests/topics/") and folder != proof.claim.split("/")[0]:
            yield Problem(
                "proof", proof.place, f"{proof.test.name} proves {proof.claim} in {folder}'s tests",
                f"move it to tests/topics/{proof.claim.split('/')[0]}/",
            )  # fmt: skip


def _named(tree: Tree) -> dict[tuple[str, int], str]:
    """The tests that something rests on: file and line, name."""
    found = {(proof.path, proof.test.lineno): proof.test.name for proof in tree.marks}
    for question in tree.questions.values():
        own = (name for point in question.points for name in point.proofs)
        for name in (*question.proofs, *own):
            key = name.replace("test:", "", 1)
            if key != name and key in tree.tests:
                found[tree.tests[key]] = key.split("/")[1]
    return found


def _faults(
    tree: Tree, path: str, module: ast.Module, test: ast.FunctionDef
) -> Iterator[tuple[str, str]]:
    file = posixpath.basename(path)
    if not re.fullmatch(r"test_\w+\.py", file) or not path.startswith("tests/"):
        yield (
            f"stands in {file}, where pytest looks for no test",
            "name the file test_….py",
        )
    if not test.name.startswith("test_"):
        yield "is no test for pytest", f"name it test_{test.name}"
    if isinstance(test, ast.AsyncFunctionDef):
        yield "is async, and nothing awaits it", "write a plain function"
        return
    if test not in module.body:
        yield "stands inside another statement, where it may not exist", "move it out"
    for other in _binding(module).get(test.name, ()):
        if other is not test:
            yield f"is bound a second time in line {other.lineno}", "rename one of them"
    for what in _not_run(module, test):
        yield (
            f"is not always run: {what}",
            "a proof runs at every `make test`: take it away",
        )
    marks = _marks(module, test)
    if not any(_chosen(step, marks) for step in _STEPS):
        which = ", ".join(sorted(marks & {"binder", "timing", "site"}))
        yield (
            f"is marked {which}, which no step of `make test` runs",
            "take the mark away",
        )
    names = assertions.module_names(module)
    if not assertions.Test(test, names, _looks(tree, path)).asserts():
        yield (
            "asserts nothing that can fail and depends on what it ran",
            "assert what the run gave: `assert node.lines(…) == […]`",
        )


@cache
def _functions(module: ast.Module) -> dict[int, list[ast.FunctionDef]]:
    found: dict[int, list[ast.FunctionDef]] = {}
    for function in syntax.functions(module):
        found.setdefault(function.lineno, []).append(function)
    return found


@cache
def _binding(module: ast.Module) -> dict[str, list[ast.stmt]]:
    """The statements of a module that bind a name, or take it away."""
    found: dict[str, list[ast.stmt]] = {}
    for statement in module.body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            names = {statement.name}
        else:
            names = {
                node.id
                for node in syntax.walk(statement)
                if isinstance(node, ast.Name)
                and isinstance(node.ctx, ast.Store | ast.Del)
            }
        for name in names:
            found.setdefault(name, []).append(statement)
    return found


def _not_run(module: ast.Module, test: ast.FunctionDef) -> Iterator[str]:
    """Marks and statements that take a test out of the run."""
    names = assertions.module_names(module)
    applied = [*test.decorator_list]
    for mark in test.decorator_list:  # one that the module gives a name
        root = mark.func if isinstance(mark, ast.Call) else mark
        if isinstance(root, ast.Name) and root.id in names:
            applied.append(names[root.id])
    if "pytestmark" in names:
        applied.append(names["pytestmark"])
    for mark in applied:
        for node in syntax.walk(mark):
            text = ast.unparse(node) if isinstance(node, ast.Attribute) else ""
            if text in ("pytest.mark.skip", "pytest.mark.xfail"):
                yield f"`{text}`"
            if isinstance(node, ast.Call) and node.args:
                called = ast.unparse(node.func)
                if called == "pytest.mark.skipif" and assertions.constant(node.args[0]):
                    yield f"`{ast.unparse(node)[:60]}`"
                if called == "pytest.mark.parametrize" and len(node.args) > 1:
                    values = node.args[1]
                    if isinstance(values, ast.List | ast.Tuple) and not values.elts:
                        yield "`parametrize` without a value"
    for statement in module.body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            called = ast.unparse(statement.value.func)
            if called in ("pytest.skip", "pytest.exit", "pytest.importorskip"):
                yield f"`{called}` in line {statement.lineno}"
    for name in ("__test__", "collect_ignore"):
        for statement in _binding(module).get(name, ()):
            yield f"`{ast.unparse(statement)}`"


def _marks(module: ast.Module, test: ast.FunctionDef) -> set[str]:
    names = assertions.module_names(module)
    texts = [ast.unparse(mark) for mark in test.decorator_list]
    for mark in test.decorator_list:
        if isinstance(mark, ast.Name) and isinstance(names.get(mark.id), ast.expr):
            texts.append(ast.unparse(names[mark.id]))
    if isinstance(names.get("pytestmark"), ast.expr):
        texts.append(ast.unparse(names["pytestmark"]))
    return {name for text in texts for name in re.findall(r"\bmark\.(\w+)", text)}


def _chosen(step: str, marks: set[str]) -> bool:
    """Whether pytest's `-m STEP` chooses a test with these marks."""
    words = set(re.findall(r"\w+", step)) - {"and", "or", "not"}
    return bool(eval(step, {"__builtins__": {}}, {word: word in marks for word in words}))


def _looks(tree: Tree, path: str) -> assertions.Look:
    folder = posixpath.dirname(path)

    def look(name: str) -> assertions.Module | None:
        inner = name.lstrip(".")
        up = len(name) - len(inner)
        base = folder
        for _ in range(up - 1):
            base = posixpath.dirname(base)
        file = f"{base}/" if up else ""
        file += inner.replace(".", "/") + ".py"
        found = tree.files.get(file)
        return assertions.module_names(syntax.module(found)) if found else None

    return look
