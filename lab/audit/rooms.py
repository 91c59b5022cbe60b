"""What CONTRIBUTING.md says of `lab/`, drawn from the code itself: the map from its imports,
the helpers from their signatures and docstrings, and what the gates count. `make map`."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import grimp

from lab import ROOT, GuideError
from lab.check.gates import code, topics

CONTRIBUTING = ROOT / "CONTRIBUTING.md"
LAB = ROOT / "lab"
# from the roof to the ground
ROOMS = ("audit", "publish", "record", "check", "run")
# what a topic's tests and notebooks call; the rest of lab/ is found through these
HELPERS = {
    "lab/run/node.py": (
        "run", "lines", "serve", "evaluate", "printed", "with_deps", "uri", "label",
        "Server.output", "Server.client",
    ),
    "lab/run/load.py": ("client", "open_loop", "closed_loop", "Held", "percentile"),
    "lab/run/process.py": ("until",),
    "lab/run/services/redis_server.py": ("redis",),
    "lab/run/services/postgres_server.py": ("postgres",),
    "lab/run/services/prometheus_server.py": ("prometheus",),
    "lab/run/services/reverse_proxy.py": ("proxy",),
    "lab/run/browser.py": ("chromium", "named_hosts", "visitor", "certificate"),
    "lab/record/evidence.py": ("hold",),
    "lab/record/figure.py": ("plot", "publish"),
    "lab/record/notebook.py": ("show", "check"),
}  # fmt: skip


class RoomsError(GuideError):
    """CONTRIBUTING.md has no place for what is drawn, or lab/ has no such helper."""


def drawn(text: str) -> str:
    """CONTRIBUTING's text with the map and the helpers as they are now. Raises
    RoomsError."""
    blocks = {"map": _map(), "helpers": _helpers(), "needs": _needs()}
    for name, made in blocks.items():
        begin, end = f"<!-- {name}: made by `make map` -->", f"<!-- end of {name} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise RoomsError(
                f"CONTRIBUTING.md: no single place for the {name} — put the lines "
                f"`{begin}` and `{end}` where it belongs"
            )
        head, rest = text.split(begin)
        text = f"{head}{begin}\n\n{made}\n{end}{rest.split(end)[1]}"
    return text


def write() -> bool:
    """Draw both anew in CONTRIBUTING.md; True if that changed something. Raises
    RoomsError."""
    before = CONTRIBUTING.read_text("utf-8")
    after = drawn(before)
    CONTRIBUTING.write_text(after, "utf-8")
    return after != before


def _map() -> str:
    """One line a room: what lives there, what it imports, which modules it has."""
    graph = grimp.build_graph("lab", cache_dir=None)
    lines = ["| room | what lives there | imports from | modules |", "| - | - | - | - |"]
    for room in ROOMS:
        package = f"lab.{room}"
        inside = {package, *graph.find_descendants(package)}
        used = {
            imported.split(".")[1]
            for module in inside
            for imported in graph.find_modules_directly_imported_by(module)
            if imported.startswith("lab.")
        }
        below = [f"`{other}/`" for other in ROOMS if other in used - {room}]
        lines.append(
            f"| `lab/{room}/` | {_sentence(LAB / room / '__init__.py')} "
            f"| {', '.join(below) or 'none of the others'} | {_modules(LAB / room)} |"
        )
    return "\n".join(lines) + "\n"


def _modules(folder: Path) -> str:
    names = []
    for path in sorted(folder.iterdir()):
        if path.suffix == ".py" and path.stem != "__init__":
            names.append(f"`{path.stem}`")
        elif (path / "__init__.py").exists():
            names.append(f"`{path.name}/` ({_modules(path)})")
    return ", ".join(names)


def _needs() -> str:
    """What the gates count before a topic is whole."""
    counts = (
        (topics.CLAIMS, f"claims, {topics.RIGHT:.0%} of them right"),
        (topics.FIGURES, "figures"),
        (topics.PAIRS, "pairs of a naive version and its hardened twin"),
        (topics.QUESTIONS, f"questions, {topics.OF_EACH_LEVEL} of each level"),
        (1, "diagram of the mechanism"), (1, "exercise"),
        (1, "module to take on its code page"), (1, "module that exports `createApp`"),
    )  # fmt: skip
    lines = [f"- at least {count} {what}" for count, what in counts]
    aloud = f"{topics.ALOUD.start} to {topics.ALOUD.stop - 1} words"
    answer = f"{topics.ANSWER.start} to {topics.ANSWER.stop - 1} words"
    listen = f"{topics.LISTENED.start} to {topics.LISTENED.stop - 1} points"
    lines += [
        "- an answer with these headings: " + " · ".join(topics.SKELETON),
        f"- a thirty-second answer of {aloud}",
        f"- on the answer at most {topics.WORDS} open words, {topics.CODE} lines of code",
        f"- questions answered in {answer}, with {listen} to listen for, a red flag, proofs",
        "- findings that begin with their subject, since they are quoted alone",
        f"- shown code of at most {code.SECTION_LINES} lines of {code.COLUMNS} columns",
        "- a link from the summary's table and from the changelog",
    ]
    return "\n".join(lines) + "\n"


def _helpers() -> str:
    """A line a helper: how it is called, and the first sentence of its docstring."""
    lines = ["| call | does |", "| - | - |"]
    for path, names in HELPERS.items():
        tree = ast.parse((ROOT / path).read_text("utf-8"))
        for name in names:
            call, does = _helper(tree, path, name)
            lines.append(f"| `{call}` | {does} |")
    return "\n".join(lines) + "\n"


def _helper(tree: ast.Module, path: str, name: str) -> tuple[str, str]:
    found = next(_named(tree, name.split(".")), None)
    if found is None or not ast.get_docstring(found):
        raise RoomsError(f"{path}: no '{name}' with a docstring — see HELPERS")
    module = Path(path).stem if "services" not in path else "services"
    arguments, own = found, "." in name
    if isinstance(found, ast.ClassDef):
        arguments = next(_named(found, ["__init__"]))
        own = True
    text = _arguments(arguments.args, without_first=own)
    call = f"{name[0].lower()}{name[1:]}" if "." in name else f"{module}.{name}"
    return f"{call}({text})", _first_sentence(ast.get_docstring(found) or "")


def _arguments(found: ast.arguments, *, without_first: bool) -> str:
    """As they are called: names and defaults, without types and `self`."""
    for one in (*found.args, *found.kwonlyargs, found.vararg, found.kwarg):
        if one:
            one.annotation = None
    if without_first:
        del found.args[0]
    return ast.unparse(found).replace("'", '"')


def _named(tree: ast.AST, names: list[str]) -> Iterator[ast.AST]:
    for item in getattr(tree, "body", ()):
        if getattr(item, "name", None) == names[0]:
            if names[1:]:
                yield from _named(item, names[1:])
            else:
                yield item


def _sentence(path: Path) -> str:
    return _first_sentence(ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "")


def _first_sentence(text: str) -> str:
    words = " ".join(text.split("\n\n")[0].split())
    return re.split(r"(?<!e\.g)(?<=\.)\s+(?=[A-Z`])", words)[0].replace("|", "\\|")
