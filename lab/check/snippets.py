"""What a snippet's file says: its sections, and whether it is naive or a program."""

import re
from dataclasses import dataclass

from lab.check import Problem
from lab.run import outputs

MARKER = re.compile(r"^\s*(?://|#)\s*--8<--\s*\[(start|end):([\w-]+)\]\s*$")


@dataclass
class Snippet:
    """A JavaScript file under `snippets/<topic>/`, sections and all."""

    path: str
    text: str
    sections: dict[str, range]  # the lines between the markers
    bad: list[Problem]

    @property
    def program(self) -> bool:
        """Ends by itself, so it has an .out; a module is run by a test."""
        return outputs.is_program(self.text)

    @property
    def naive(self) -> bool:
        """Whether it shows how not to do it."""
        return ".naive." in self.path


def parse_snippet(path: str, text: str) -> Snippet:
    """Read a snippet's section markers."""
    snippet = Snippet(path, text, {}, [])
    opened: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not (found := MARKER.match(line)):
            if "--8<--" in line:
                snippet.bad.append(
                    Problem(
                        "marker",
                        f"snippets/{path}:{number}",
                        f"unreadable section marker {line.strip()!r}",
                        "write `// --8<-- [start:name]` or `[end:name]`",
                    )
                )
            continue
        kind, name = found[1], found[2]
        if kind == "start" and (name in opened or name in snippet.sections):
            snippet.bad.append(
                Problem(
                    "section-doubled",
                    f"snippets/{path}:{number}",
                    f"section '{name}' starts a second time",
                    "give each section a name of its own",
                )
            )
        elif kind == "start":
            opened[name] = number
        elif name not in opened:
            snippet.bad.append(
                Problem(
                    "section-unopened",
                    f"snippets/{path}:{number}",
                    f"section '{name}' ends without a start",
                    f"add `// --8<-- [start:{name}]` or fix the name",
                )
            )
        else:
            snippet.sections[name] = range(opened.pop(name) + 1, number)
    for name, number in opened.items():
        snippet.bad.append(
            Problem(
                "section-unclosed",
                f"snippets/{path}:{number}",
                f"section '{name}' is never closed",
                f"add `// --8<-- [end:{name}]`: without it the embed takes the "
                "rest of the file",
            )
        )
    return snippet
