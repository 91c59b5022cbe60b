"""A module to take: what it needs, which tests run it, and the ZIP of a topic's modules."""

import ast
import json
import posixpath
import re
import zipfile
from pathlib import Path

from lab import ROOT
from lab.check.content import Topic, Tree
from lab.run import node

# './x.mjs', and what is written without a dot: new URL('x.mjs', import.meta.url)
_RELATIVE = re.compile(
    r"['\"](\.{1,2}/[\w./-]+\.[mc]?js(?:on)?)['\"]"
    r"|\bnew URL\(\s*['\"]([\w./-]+)['\"],\s*import\.meta\.url"
)
_PACKAGE = re.compile(
    r"(?:^\s*(?:import|export)\b[^'\"]*?|\bfrom\s*|\bimport\(\s*|\brequire\(\s*)"
    r"['\"]((?!node:|[./])(?:@[\w.-]+/)?[\w.-]+)(?:/[\w./-]+)?['\"]",
    re.MULTILINE,
)
_SERVE = "serve.mjs"  # below snippets/: it serves what exports `createApp`


def files(tree: Tree, *names: str) -> list[str]:
    """These files below snippets/ and all that they load from beside them, sorted."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found or f"snippets/{name}" not in tree.files:
            continue
        found.add(name)
        waiting += [
            posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
            for target in map("".join, _RELATIVE.findall(tree.files[f"snippets/{name}"]))
        ]
    return sorted(found)


def packages(tree: Tree, *names: str) -> dict[str, str]:
    """The npm packages that these files load, each with its specifier for package.json:
    the locked version."""
    wanted = json.loads(tree.files["snippets/package.json"])["dependencies"]
    found = {
        package
        for name in files(tree, *names)
        for package in _PACKAGE.findall(tree.files[f"snippets/{name}"])
    }
    return {package: wanted[package] for package in sorted(found & wanted.keys())}


def tests(tree: Tree, name: str) -> list[tuple[str, str, int]]:
    """Tests (name, file, line) of a topic that name this file, in themselves or in what
    they are parametrised with, in their order."""
    slug, _, file = name.partition("/")
    found = []
    for path in tree.under(f"tests/topics/{slug}/", ".py"):
        text = tree.files[path]
        if file not in text:
            continue
        lines = text.split("\n")
        for test in ast.parse(text).body:
            if isinstance(test, ast.FunctionDef) and test.name.startswith("test_"):
                first = min(each.lineno for each in (test, *test.decorator_list))
                if file in "\n".join(lines[first - 1 : test.end_lineno]):
                    found.append((test.name, path, test.lineno))
    return found


def served(tree: Tree, name: str) -> bool:
    """Whether `node serve.mjs NAME` serves it."""
    return node.is_app(tree.files.get(f"snippets/{name}", ""))


def taken(topic: Topic) -> list[str]:
    """The modules on a topic's code page."""
    page = topic.pages.get("code")
    return [file for _, file in page.modules] if page else []


def pack(tree: Tree, topic: Topic, folder: Path) -> Path | None:
    """Write the ZIP of a topic's modules into `folder`, which starts by itself; None if
    it has none. The same files give the same bytes."""
    names = [name for name in taken(topic) if f"snippets/{name}" in tree.files]
    if not names:
        return None
    apps = [name for name in names if served(tree, name)]
    wanted = files(tree, *names, *([_SERVE] if apps else []))
    texts = {name: tree.files[f"snippets/{name}"] for name in wanted}
    texts["package.json"] = _package(tree, topic, names, wanted, apps)
    starts = {name: _start(name, texts[name]) for name in apps}
    texts["README.md"] = _readme(topic, names, starts)
    texts["LICENSE"] = (ROOT / "LICENSE").read_text("utf-8")
    path = folder / f"{topic.slug}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(texts):
            entry = zipfile.ZipInfo(f"{topic.slug}/{name}")  # dated 1980
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, texts[name])
    return path


def _start(name: str, text: str) -> str:
    """How an app is started: as the comment above it says, with what it takes from the
    environment, else by its name."""
    head = re.match(r"(?:// (?!-).*\n)*", text)[0].replace("// ", "").split("\n")
    command, found, rest = " ".join(head).strip().partition(f"node {_SERVE} {name}")
    return f"`{command}{found}`{rest}" if found else f"`node {_SERVE} {name}`"


def _package(tree: Tree, topic: Topic, names, wanted, apps) -> str:
    ours = json.loads(tree.files["snippets/package.json"])
    start = f"node {_SERVE} {apps[0]}" if apps else f"node {names[0]}"
    return (
        json.dumps(
            {
                "name": f"proven-node-{topic.slug}",
                "private": True,
                "license": ours["license"],
                "engines": ours["engines"],
                "scripts": {"start": start},
                "dependencies": packages(tree, *wanted),
            },
            indent=2,
        )
        + "\n"
    )


def _readme(topic: Topic, names, starts: dict[str, str]) -> str:
    lines = [
        f"# {topic.title}: code of Proven Node.js",
        "",
        "    npm install",
        "    npm start",
        "",
        "`PORT=8080 npm start` listens elsewhere than on 3000; always on 127.0.0.1.",
        "",
        *(f"- `{name}`: {starts.get(name, 'import it')}" for name in names),
        "",
        "Under the MIT licence, see `LICENSE`.",
        "",
    ]
    return "\n".join(lines)
