"""Seals: what restates a claim was read together with it, and counter-proofs were run."""

from collections.abc import Iterator

from lab.check import Problem, restated
from lab.check.content import Proof, Topic, Tree


def restatements(tree: Tree) -> Iterator[Problem]:
    """A claim, its proof and all that restates it are as they were read together."""
    for topic in tree.topics.values():
        if topic.whole:
            yield from _topic(tree, topic)


def _topic(tree: Tree, topic: Topic) -> Iterator[Problem]:
    have = restated.sealed(tree, topic.slug)
    mend = f"`make seal TOPIC={topic.slug}`"
    blocks = restated.blocks(tree, topic)
    if not have:
        yield Problem(
            "seal", restated.path(topic.slug), f"nothing of {topic.slug} is sealed",
            f"read its claims, then {mend}",
        )  # fmt: skip
        return
    changed = {
        block.key
        for block in blocks
        if have.get(block.key, " ").split(" ")[0] != block.own
    }
    for block in blocks:
        own, _, named = have.get(block.key, " ").partition(" ")
        if not own:
            yield Problem(
                "seal", block.place, f"{block.key} is new",
                f"read it against {_those(block.names)}, then {mend}",
            )  # fmt: skip
        elif block.key.startswith("claim "):
            yield from _claim(tree, topic, block, named, changed, mend)
        elif own != block.own and block.names:
            yield Problem(
                "seal", block.place, f"{block.key} has changed, and restates {_those(block.names)}",
                f"read them together, then {mend}",
            )  # fmt: skip
        elif own != block.own:
            yield Problem(
                "seal", block.place, f"{block.key} has changed",
                f"read it again, then {mend}",
            )  # fmt: skip
        elif named != block.named:
            yield Problem(
                "seal", block.place, f"{block.key} restates {_those(block.names)}, and what it "
                "names has changed",
                f"read them together, then {mend}",
            )  # fmt: skip
    for key in sorted(have.keys() - {block.key for block in blocks}):
        if not key.startswith("counter "):
            yield Problem(
                "seal", restated.path(topic.slug), f"holds a seal of '{key}', which is gone",
                mend,
            )  # fmt: skip


def _claim(
    tree: Tree,
    topic: Topic,
    block: restated.Block,
    proof: str,
    changed: set[str],
    mend: str,
) -> Iterator[Problem]:
    name = block.key.removeprefix("claim ")
    if block.key in changed:
        yield Problem(
            "seal", block.place, f"claim {name} has changed since it was read with its proof",
            f"read again {_those(list(_places(tree, f'{topic.slug}/{name}')))}; then {mend}",
        )  # fmt: skip
    elif proof != block.named:
        tests = [
            f"{path}:{line}"
            for path, line, _ in tree.proofs.get(f"{topic.slug}/{name}", ())
        ]
        yield Problem(
            "seal", tests[0] if tests else block.place,
            f"what proves claim {name} has changed since the two were read together",
            f"read {block.place} against {_those(tests)}, then {mend}",
        )  # fmt: skip


def _places(tree: Tree, key: str) -> Iterator[str]:
    """Every place that restates a claim, its proofs first."""
    for path, line, _ in tree.proofs.get(key, ()):
        yield f"{path}:{line}"
    for topic in tree.topics.values():
        if topic.whole:
            for block in restated.blocks(tree, topic):
                if key in block.names:
                    yield block.place


def _those(names) -> str:
    return ", ".join(names) or "its page"


def counter_proofs(tree: Tree) -> Iterator[Problem]:
    """Each counter-proof was run as it stands, and names what is there."""
    known = restated.counters(tree)
    for key, (proof, digest) in known.items():
        topic, _, name = key.partition("/")
        for problem in _unfit(tree, proof):
            yield Problem("counter", proof.place, f"counter-proof of {proof.test.name}: {problem}",
                          'write counter=("topic/a.mjs", "topic/b.mjs") or ("topic/a.mjs", "old", "new")')  # fmt: skip
        if restated.sealed(tree, topic).get(name) != digest:
            yield Problem(
                "counter", proof.place,
                f"the counter-proof of {proof.test.name} was not run since one side changed",
                f"`make seal TOPIC={topic}` runs it",
            )  # fmt: skip
    for topic in tree.topics:
        for name in restated.sealed(tree, topic):
            if name.startswith("counter ") and f"{topic}/{name}" not in known:
                yield Problem(
                    "counter", restated.path(topic), f"holds '{name}', which no test declares",
                    f"`make seal TOPIC={topic}`",
                )  # fmt: skip


def _unfit(tree: Tree, proof: Proof) -> Iterator[str]:
    """What is wrong with how a counter-proof is written."""
    counter = proof.counter
    if len(counter) not in (2, 3) or not all(isinstance(part, str) for part in counter):
        yield f"{counter!r} is of neither form"
        return
    for name in counter if len(counter) == 2 else counter[:1]:
        if name != "here" and f"snippets/{name}" not in tree.files:
            yield f"{name} is not in snippets/"
            return
    if len(counter) == 3:
        name, old, _ = counter
        path = proof.path if name == "here" else f"snippets/{name}"
        test = proof.test if name == "here" else None
        if restated.place_of(tree.files[path], old, test) is None:
            yield f"{old!r} does not stand once in {path}"
