"""Claims and their proofs: every claim has a proof, every proof a claim."""

import re
from collections.abc import Iterator

from lab.check import Problem
from lab.check.content import Tree
from lab.check.pages import CODE_SPAN, MEASURED, OUTSIDE, VERDICTS, Claim

_UNIT = re.compile(
    r"(?<![\w-])\d[\d ,. ]*\s?"
    r"(?:[nmµ]?s|sec(?:ond)?s?|min(?:ute)?s?|hours?|[KMGk]i?B|bytes?|%|×|x|times"
    r"|(?:requests?|req|ops)(?:/s| per second))(?![\w-])"
)


def claims(tree: Tree) -> Iterator[Problem]:
    """A claim has its form, an id of its own and a proof; a proof has its claim; a number
    in a claim is a measured one."""
    seen: dict[str, str] = {}
    for page in tree.pages.values():
        for claim in page.claims:
            place = f"{page.path}:{claim.line}"
            name = claim.options.get("id", "")
            if not claim.heard:
                yield Problem(
                    "claim-form", place, "claim without what is heard",
                    "write `/// claim | What people say`",
                )  # fmt: skip
            if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
                yield Problem(
                    "claim-form", place, f"claim id {name!r} is not a name",
                    "add `    id: lower-case-words` under its first line",
                )  # fmt: skip
            if claim.options.get("verdict") not in VERDICTS:
                yield Problem(
                    "claim-form",
                    place,
                    f"claim verdict {claim.options.get('verdict')!r}",
                    f"choose one of {', '.join(VERDICTS)}",
                )
            if unknown := set(claim.options) - {"id", "verdict", "source"}:
                yield Problem(
                    "claim-form", place, f"claim option {', '.join(sorted(unknown))}",
                    "a claim has id, verdict and source",
                )  # fmt: skip
            said = claim.options.get("source", "")
            if re.search(r"\]\(|https?:", said) and not claim.source:
                yield Problem(
                    "claim-form", place, f"claim source {said!r}",
                    "write [name](https://…), version or commit: what it says",
                )  # fmt: skip
            if claim.source and claim.options.get("verdict") == "right":
                yield Problem(
                    "claim-form", place, "a source that is right is no erratum",
                    "list it under the topic's sources instead",
                )  # fmt: skip
            if not claim.body.strip():
                yield Problem(
                    "claim-form", place, "claim without a finding",
                    "say in its first paragraph what the proof shows",
                )  # fmt: skip
            if name and claim.key in seen:
                yield Problem(
                    "claim-doubled", place, f"claim {claim.key} is also at {seen[claim.key]}",
                    "give it an id of its own",
                )  # fmt: skip
            seen.setdefault(claim.key, place)
            if name and claim.key not in tree.proofs and claim.key not in tree.evidence:
                yield Problem(
                    "claim-unproved",
                    place,
                    f"claim {claim.key} has no proof",
                    f"mark a test `{_mark(claim.key, claim.options.get('verdict'))}`, or "
                    "record evidence of that name",
                )
            yield from _said_by_evidence(tree, claim, place)
            text = OUTSIDE.sub(" ", MEASURED.sub(" ", CODE_SPAN.sub(" ", claim.body)))
            for offset, line in enumerate(text.split("\n")):
                for number in _UNIT.finditer(line):
                    yield Problem(
                        "claim-number",
                        place,
                        f"claim {claim.key} has the typed number "
                        f"'{number[0].strip()}' (paragraph line {offset + 1})",
                        "record it and write {measured topic/key}",
                    )
    for proof in tree.marks:
        claim = tree.claims.get(proof.claim)
        if not claim:
            yield Problem(
                "proof-unclaimed",
                proof.place,
                f"{proof.test.name} proves {proof.claim}, which no page claims",
                "fix the key, or add the claim block",
            )
        elif proof.verdict != (verdict := claim.options.get("verdict", "")):
            said = f"'{proof.verdict}'" if proof.verdict else "no verdict"
            yield Problem(
                "verdict", proof.place,
                f"{proof.test.name} proves {said} of {claim.key}; {claim.path}:{claim.line}"
                f" says '{verdict}'",
                f"decide which is right, then write `{_mark(claim.key, verdict)}` or "
                "change the page and what restates it",
            )  # fmt: skip


def _said_by_evidence(tree: Tree, claim: Claim, place: str) -> Iterator[Problem]:
    """A recorded value that proves a claim says which verdict it proves."""
    if "value" in tree.evidence.get(claim.key, {}):
        said = tree.stated.get(claim.key, set())
        if said != {verdict := claim.options.get("verdict", "")}:
            source = tree.evidence[claim.key].get("source", "")
            yield Problem(
                "verdict", place,
                f"{claim.key} is '{verdict}'; {source}, which records its value, says "
                f"{' and '.join(sorted(map(repr, said))) or 'none'}",
                f'give `verdict="{verdict}"` to `evidence.hold` there, or change the page',
            )  # fmt: skip


def _mark(key: str, verdict: str | None) -> str:
    return f'@pytest.mark.claim("{key}", verdict="{verdict}")'
