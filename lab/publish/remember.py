"""What a rebuild of `mkdocs serve` need not do again: colour code that did not change, read
a page for search that did not change, compile the theme's templates.

Each is remembered by all that it depends on, in this process; templates on disk, as Jinja
does it. A page's Markdown is always rendered: it may embed anything.
"""

import copy

from jinja2 import Environment, FileSystemBytecodeCache

from lab import BUILD

TEMPLATES = BUILD / "theme-templates"
MOST = 4000  # entries: some builds' code blocks
_coloured: dict[str, str] = {}
_read: dict[str, list] = {}
_installed = False


def install() -> None:
    """Let pymdownx's highlighter and Material's search remember; once in a process."""
    global _installed
    if _installed:
        return
    _installed = True
    from material.plugins.search import plugin
    from pymdownx.highlight import Highlight

    colour = Highlight.highlight

    def highlight(self, *args, **options):
        # code within a line is an element of its page, and a title of HTML is stored there
        if options.get("inline") or self.title_mode == "html":
            return colour(self, *args, **options)
        settings = {k: v for k, v in vars(self).items() if k != "md"}
        key = repr((settings, args, options))
        return _once(_coloured, key, lambda: colour(self, *args, **options))

    Highlight.highlight = highlight
    plugin.Parser = _reader(plugin.Parser)


def templates(environment: Environment) -> None:
    """Let this environment keep its compiled templates on disk, by their text."""
    TEMPLATES.mkdir(parents=True, exist_ok=True)
    environment.bytecode_cache = FileSystemBytecodeCache(str(TEMPLATES))


def _reader(parser: type) -> type:
    """Material's parser of a page into sections for search, which remembers them."""

    class Reader(parser):
        def feed(self, html: str) -> None:
            def sections() -> list:
                super(Reader, self).feed(html)
                super(Reader, self).close()
                return self.data

            # the index gives a section without a title one
            self.data = [copy.copy(one) for one in _once(_read, html, sections)]

        def close(self) -> None:
            """Nothing is left to be read."""

    return Reader


def _once(known: dict, key: str, make):
    if key not in known:
        if len(known) >= MOST:
            known.clear()
        known[key] = make()
    return known[key]
