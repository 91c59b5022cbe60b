"""MkDocs as this guide runs it: `python -m lab.publish build --strict`.

Without what jsonschema loads to check formats that no notebook has: 38 grammars, five
seconds of each build where Jupyter's server is installed as well. And with a converter of
notebooks that remembers.
"""

import runpy
import sys

from lab.publish import convert

sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]
convert.stand_in()
sys.argv[0] = "mkdocs"
runpy.run_module("mkdocs", run_name="__main__", alter_sys=True)
