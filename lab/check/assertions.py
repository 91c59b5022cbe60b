"""Whether a test asserts something that can fail and that depends on what it ran.

Read from its syntax tree, so what is found is a careless test, not a clever one."""

import ast
from collections.abc import Callable, Iterable, Iterator
from functools import cache

from lab.check import syntax

# what these give is as constant as what they are given
_NAMES = """
    abs all any bool bytes dict divmod enumerate filter float frozenset int isinstance iter
    len list map max min next pow range repr reversed round set slice sorted str sum tuple
    type zip Path json re math statistics itertools operator textwrap collections
"""
_PURE = frozenset(_NAMES.split())
_READS = {"read_text", "read_bytes", "exists", "glob", "iterdir", "stat", "is_file"}
_SWALLOWED = {"AssertionError", "Exception", "BaseException"}
_BINDING = (
    ast.Assign, ast.AugAssign, ast.AnnAssign, ast.NamedExpr, ast.For, ast.comprehension,
    ast.withitem, ast.Call, ast.ExceptHandler,
)  # fmt: skip
_LEAVES = {"pytest.skip", "pytest.xfail", "pytest.exit", "sys.exit", "os._exit"}

Module = dict[str, ast.AST]  # what a module's names are bound to
Look = Callable[[str], "Module | None"]  # the module that an import leads to


@cache
def module_names(tree: ast.Module) -> Module:
    """What the names of a module are bound to: functions, values, imports."""
    found: Module = {}
    for statement in tree.body:
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                found[statement.name] = statement
            case ast.Import() | ast.ImportFrom():
                for alias in statement.names:
                    found[(alias.asname or alias.name).partition(".")[0]] = statement
            case ast.Assign():
                for target in statement.targets:
                    for node in syntax.walk(target):
                        if isinstance(node, ast.Name):
                            found[node.id] = statement.value
    return found


class Test:
    """A test, or a helper that it calls: what in it can fail."""

    def __init__(
        self,
        function: ast.FunctionDef,
        names: Module,
        look: Look,
        seen: frozenset = frozenset(),
    ) -> None:
        self.function, self.names, self.look = function, names, look
        self.seen = seen | {function.name}
        given = {
            arg.arg for arg in syntax.walk(function.args) if isinstance(arg, ast.arg)
        }
        self.computed = given - _parametrized(function)
        # `count += 1` counts what happened around it
        self.computed |= {
            node.target.id
            for node in syntax.walk(function)
            if isinstance(node, ast.AugAssign)
            and isinstance(node.target, ast.Name)
            and node not in function.body
        }
        self.local = {
            node.name: node
            for node in syntax.walk(function)
            if isinstance(node, ast.FunctionDef) and node is not function
        }
        binding = [node for node in syntax.walk(function) if isinstance(node, _BINDING)]
        known = -1
        while known != len(self.computed):  # what is computed from what is bound below
            known = len(self.computed)
            for node in binding:
                self._bind(node)

    def asserts(self) -> bool:
        """Whether something that it reaches can fail, and depends on what it ran."""
        return any(self._reached(self.function.body))

    def _reached(self, body: Iterable[ast.stmt]) -> Iterator[bool]:
        for statement in body:
            match statement:
                case ast.Assert():
                    yield not vacuous(statement.test) and self.depends(statement.test)
                case ast.If() | ast.While():
                    known = constant(statement.test)
                    if known is not False:
                        yield from self._reached(statement.body)
                    if known is not True:
                        yield from self._reached(statement.orelse)
                    elif isinstance(statement, ast.If) and _leaves(statement.body):
                        return
                case ast.For():
                    if not _empty(statement.iter):
                        yield from self._reached(statement.body)
                    yield from self._reached(statement.orelse)
                case ast.Try():
                    if not any(map(_swallows, statement.handlers)):
                        yield from self._reached(statement.body)
                    yield from self._reached(statement.orelse + statement.finalbody)
                case ast.With() | ast.AsyncWith():
                    if not any(
                        _suppresses(item.context_expr) for item in statement.items
                    ):
                        yield from self._reached(statement.body)
                    yield any(
                        self._expects(item.context_expr, statement.body)
                        for item in statement.items
                    )
                case ast.FunctionDef() | ast.ClassDef():
                    continue  # looked at where it is called
            if _leaves([statement]):
                return
            if not isinstance(
                statement, ast.If | ast.For | ast.While | ast.Try | ast.With
            ):
                yield self._calls(statement)

    def _calls(self, statement: ast.stmt) -> bool:
        """Whether a statement calls something that asserts in its place."""
        for call in syntax.walk(statement):
            if isinstance(call, ast.Call) and self._helps(call):
                return True
        return False

    def _helps(self, call: ast.Call) -> bool:
        name = ast.unparse(call.func)
        if name == "evidence.hold":
            return bool({word.arg for word in call.keywords} & {"above", "below", None})
        if name in ("node.run", "node.evaluate"):
            return "code" in {word.arg for word in call.keywords}  # raises on another one
        if name == "process.until":
            return any(self.depends(arg) for arg in call.args[:1])
        if name in self.seen:
            return False
        if name in self.local:
            inner = Test(self.local[name], self.names, self.look, self.seen)
            inner.computed |= self.computed
            return inner.asserts()
        function, names = self.names.get(name), self.names
        if isinstance(function, ast.ImportFrom):
            names = self.look(f"{'.' * function.level}{function.module or ''}") or {}
            function = names.get(name)
        if isinstance(function, ast.FunctionDef):
            return Test(function, names, self.look, self.seen).asserts()
        return False

    def _expects(self, context: ast.expr, body: list[ast.stmt]) -> bool:
        """`pytest.raises` of something that is not everything, around what runs."""
        if not isinstance(context, ast.Call) or not context.args:
            return False
        if ast.unparse(context.func) not in ("pytest.raises", "pytest.warns"):
            return False
        named = {ast.unparse(arg) for arg in context.args}
        matched = any(word.arg == "match" for word in context.keywords)
        if named & _SWALLOWED and not matched:
            return False
        return any(self.depends(node) for part in body for node in ast.iter_child_nodes(part)
                   if isinstance(node, ast.expr | ast.withitem | ast.stmt))  # fmt: skip

    # --- what depends on what was run ---

    def _bind(self, node: ast.AST) -> None:
        match node:
            case ast.Assign() | ast.AugAssign() | ast.AnnAssign() | ast.NamedExpr():
                value = node.value
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            case ast.For() | ast.comprehension():
                value, targets = node.iter, [node.target]
            case ast.withitem():
                value, targets = node.context_expr, [node.optional_vars]
            case ast.Call(func=ast.Attribute(value=ast.Name() as name)):
                # `seen.append(answer)`
                if any(self.depends(arg) for arg in node.args):
                    self.computed.add(name.id)
                return
            case ast.ExceptHandler():
                self.computed.add(node.name or "")
                return
            case _:
                return
        if value is not None and self.depends(value):
            self.computed |= {
                each.id
                for target in targets
                if target is not None
                for each in syntax.walk(target)
                if isinstance(each, ast.Name)
            }

    def depends(self, node: ast.AST) -> bool:
        """Whether an expression's value comes from something that ran."""
        match node:
            case ast.Name():
                return node.id in self.computed or self._module_value(node.id)
            case ast.Call():
                inner = [*node.args, *(word.value for word in node.keywords)]
                return self._runs(node.func) or any(map(self.depends, inner))
            case ast.Await():
                return True
        return any(map(self.depends, ast.iter_child_nodes(node)))

    def _module_value(self, name: str) -> bool:
        value = self.names.get(name)
        if not isinstance(value, ast.expr) or name in self.seen:
            return False
        self.seen |= {name}
        try:
            return self.depends(value)
        finally:
            self.seen -= {name}

    def _runs(self, called: ast.expr) -> bool:
        match called:
            case ast.Name():
                return called.id not in _PURE
            case ast.Attribute():
                root = called
                while isinstance(root, ast.Attribute | ast.Call | ast.Subscript):
                    if isinstance(root, ast.Call) and self.depends(root):
                        return True
                    root = root.func if isinstance(root, ast.Call) else root.value
                if called.attr in _READS:
                    return True
                if isinstance(root, ast.Name):
                    bound = self.names.get(root.id)
                    imported = isinstance(bound, ast.Import | ast.ImportFrom)
                    return (
                        self.depends(root)
                        or imported
                        and root.id not in _PURE
                        and root.id.islower()
                    )
                return self.depends(root)
        return self.depends(called)


def vacuous(test: ast.expr) -> bool:
    """Whether this holds whatever was computed."""
    if constant(test) is not None:
        return constant(test) is True
    match test:
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            if ast.dump(left) == ast.dump(right):
                return isinstance(op, ast.Eq | ast.Is | ast.LtE | ast.GtE)
            if isinstance(op, ast.In) and isinstance(
                right, ast.Tuple | ast.List | ast.Set
            ):
                return {ast.unparse(one) for one in right.elts} >= {"True", "False"}
            length = isinstance(left, ast.Call) and ast.unparse(left.func) == "len"
            zero = isinstance(right, ast.Constant) and right.value in (0, -1)
            return (
                length
                and zero
                and isinstance(op, ast.GtE)
                or (length and isinstance(op, ast.Gt) and ast.unparse(right) == "-1")
            )
        case ast.BoolOp(op=ast.Or(), values=values):
            return any(map(vacuous, values))
        case ast.BoolOp(op=ast.And(), values=values):
            return all(map(vacuous, values))
        case ast.Call(func=ast.Name(id="isinstance"), args=[_, ast.Name(id="object")]):
            return True
        case ast.Call(func=ast.Name(id="bool"), args=[inner]):
            return vacuous(inner)
        case ast.IfExp(test=condition, body=body, orelse=orelse):
            known = constant(condition)
            if known is not None:
                return vacuous(body if known else orelse)
            return vacuous(body) and vacuous(orelse)
        case ast.Tuple(elts=elts) | ast.List(elts=elts):
            return bool(elts)
        case ast.Lambda() | ast.GeneratorExp() | ast.Dict():
            return True
    return False


def constant(node: ast.expr) -> bool | None:
    """Whether this is true or false whatever runs; None if that depends."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        inner = constant(node.operand)
        return None if inner is None else not inner
    if any(
        isinstance(each, ast.Name | ast.Call | ast.Await) for each in syntax.walk(node)
    ):
        if isinstance(node, ast.BoolOp):
            known = [constant(value) for value in node.values]
            if isinstance(node.op, ast.And) and False in known:
                return False
            if isinstance(node.op, ast.Or) and True in known:
                return True
        return False if ast.unparse(node) == "TYPE_CHECKING" else None
    try:
        return bool(eval(compile(ast.Expression(node), "", "eval"), {"__builtins__": {}}))
    except Exception:  # noqa: BLE001 - it is no constant then
        return None


def _parametrized(function: ast.FunctionDef) -> set[str]:
    """The names of what `parametrize` gives: they are written in the test."""
    found: set[str] = set()
    for mark in function.decorator_list:
        if isinstance(mark, ast.Call) and ast.unparse(mark.func).endswith("parametrize"):
            for name in syntax.walk(mark.args[0]) if mark.args else ():
                if isinstance(name, ast.Constant) and isinstance(name.value, str):
                    found |= {each.strip() for each in name.value.split(",")}
    return found


def _empty(node: ast.expr) -> bool:
    match node:
        case ast.List(elts=[]) | ast.Tuple(elts=[]) | ast.Dict(keys=[]):
            return True
        case ast.Call(func=ast.Name(id="range"), args=[ast.Constant(value=0)]):
            return True
    return False


def _leaves(body: list[ast.stmt]) -> bool:
    """Whether nothing behind these statements runs."""
    for statement in body:
        if isinstance(statement, ast.Return | ast.Raise | ast.Continue | ast.Break):
            return True
        called = statement.value if isinstance(statement, ast.Expr) else None
        if isinstance(called, ast.Call) and ast.unparse(called.func) in _LEAVES:
            return True
    return False


def _swallows(handler: ast.ExceptHandler) -> bool:
    kinds = syntax.walk(handler.type) if handler.type else ()
    named = {node.id for node in kinds if isinstance(node, ast.Name)}
    raises = any(isinstance(node, ast.Raise) for node in syntax.walk(handler))
    return (handler.type is None or bool(named & _SWALLOWED)) and not raises


def _suppresses(context: ast.expr) -> bool:
    if not isinstance(context, ast.Call):
        return False
    name = ast.unparse(context.func).rpartition(".")[2]
    return name in ("suppress", "raises") and any(
        ast.unparse(arg) in _SWALLOWED for arg in context.args
    )
