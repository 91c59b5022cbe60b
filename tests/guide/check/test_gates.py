"""The gates as a whole: clean controls, places, cost."""

import time

import markdown
import pytest

from lab.check import content, gates

from .shared import CLEAN, ORDER, OTHERS, TAKE, append, codes, replace, reseal


def test_the_clean_tree_has_no_problem():
    assert [str(problem) for problem in gates.check(content.Tree(CLEAN))] == []


def test_a_problem_names_page_and_line():
    files = dict(CLEAN)
    replace(TAKE, "order.mjs:order", "order.mjs:odrer")(files)
    line = files[TAKE].split("\n").index('--8<-- "demo/order.mjs:odrer"') + 1
    assert str(gates.check(content.Tree(files))[0]) == (
        f"{TAKE}:{line}: section 'odrer' not in snippets/demo/order.mjs — it has order: "
        "add the marker or fix the name"
    )


CONTROLS = [
    replace(OTHERS, "answer: express-4\n    proof: node-22", "proof: node-22, express-4"),
    append("\nSince Express 4.17 it is so; Node 20 changed it.\n"),
    append("\nIn code: `{measured demo/nothing}` and `express@5.3.0`.\n"),
    append("\n```python\nx = 1\n```\n\n```sh\nmake test\n```\n"),
    append("\n[outside](https://nodejs.org/en/learn) <br> a / b // c\n"),
    append("\n/// details | A question?\n    attrs: {id: q}\nAnswer.\n///\n\n[q](#q)\n"),
    replace(ORDER, "//", "// output: unordered — the kernel wakes them as it likes\n//"),
]


@pytest.mark.parametrize("plant", CONTROLS)
def test_what_is_allowed_is_not_reported(plant):
    files = dict(CLEAN)
    plant(files)
    reseal(files)
    assert codes(files) == []


def test_the_guide_itself_has_no_problem():
    assert [str(problem) for problem in gates.check(content.read())] == []


@pytest.mark.timing
def test_the_gates_cost_little_more_than_making_html_of_the_same_pages():
    """`make pages` promises a second or two; so that this holds on any machine, both
    are measured in turn, in CPU time. The gates read code, tests and evidence as well."""

    def cost(work) -> float:
        begun = time.process_time()
        work()
        return time.process_time() - begun

    tree = content.read()
    texts = [tree.files[path] for path in tree.pages]
    rounds = [
        (
            cost(lambda: gates.check(content.read())),
            cost(
                lambda: [markdown.markdown(text, extensions=["extra"]) for text in texts]
            ),
        )
        for _ in range(3)
    ]
    ours, plain = map(min, zip(*rounds, strict=True))
    assert ours < 8 * plain
