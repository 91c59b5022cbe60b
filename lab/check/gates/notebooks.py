"""Notebooks: committed without outputs, and no cell that passes when it fails."""

import json
import re
from collections.abc import Iterator

from lab.check import Problem
from lab.check.content import Tree

_CELL_TRAPS = (
    (r"^\s*!|get_ipython\(\)\.system", "a shell line passes when it fails",
     "use lab.run.node, or a %%node cell"),
    (r"^%%(javascript|js|bash|sh|script)\b", "this cell magic passes when it fails",
     "use a %%node cell"),
    (r"\bos\.system\(|\bsubprocess\.(?!run\()\w+\(|\bPopen\(", "a process that nobody ends",
     "use lab.run.node.run or lab.run.node.serve"),
    (r"\bsubprocess\.run\((?!.*check=True)", "subprocess.run without check=True",
     "add check=True, or use lab.run.node.run"),
    (r"(?:/home/|/root/|/Users/|\b[A-Z]:\\\\)", "an absolute path or user name",
     "start from lab.ROOT"),
)  # fmt: skip


def notebooks(tree: Tree) -> Iterator[Problem]:
    """A notebook is JSON, has no output, and no cell that hides a failure."""
    for path in tree.under("notebooks/", ".ipynb"):
        try:
            book = json.loads(tree.files[path])
            cells = book["cells"]
        except (ValueError, KeyError, TypeError):
            yield Problem(
                "notebook", path, "not a notebook (JSON with cells)",
                "restore it from git",
            )  # fmt: skip
            continue
        if book.get("metadata", {}).get("execution", {}).get("allow_errors"):
            yield Problem(
                "notebook-trap", path, "its metadata allows errors",
                "remove execution.allow_errors: a failing cell must fail",
            )  # fmt: skip
        for index, cell in enumerate(cells, 1):
            place = f"{path}, cell {index}"
            source = "".join(cell.get("source", []))
            if cell.get("outputs") or cell.get("execution_count"):
                yield Problem(
                    "notebook-output", place, "is committed with its output",
                    "run `nbstripout` on it (a git hook does it)",
                )  # fmt: skip
            tags = set(cell.get("metadata", {}).get("tags", []))
            if bad := tags & {"raises-exception", "skip-execution"}:
                yield Problem(
                    "notebook-trap", place, f"is tagged {', '.join(bad)}",
                    "remove the tag: a failing cell must fail",
                )  # fmt: skip
            for pattern, what, mend in _CELL_TRAPS:
                if "path" not in what and cell.get("cell_type") != "code":
                    continue
                if found := re.search(pattern, source, re.MULTILINE):
                    yield Problem(
                        "notebook-trap", place,
                        f"has {found[0].strip()!r}: {what}", mend,
                    )  # fmt: skip
