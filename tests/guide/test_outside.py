"""What the pages quote from outside is what is installed."""

import json
from pathlib import Path

import pytest

from lab.check import content
from lab.publish import elements
from lab.run import node

FACTS = content.read().outside["fact"]


@pytest.mark.parametrize("name", FACTS)
def test_a_default_is_what_the_installed_version_has(name):
    source = f"console.log(JSON.stringify({FACTS[name]['read']}));\nprocess.exit(0);"
    if "/proc" in source and not Path("/proc/self/task").is_dir():
        pytest.skip("Linux only")
    assert json.loads(node.evaluate(source, timeout=60).stdout) == FACTS[name]["value"]


@pytest.mark.parametrize(
    ("entry", "shown"),
    [
        ({"value": 5000, "unit": "ms"}, "5 s"),
        ({"value": 250, "unit": "ms"}, "250 ms"),
        ({"value": 65536, "unit": "bytes"}, "64 KiB"),
        ({"value": 4}, "4"),
        ({"value": "Infinity"}, "Infinity"),
    ],
)
def test_a_default_is_printed_in_the_largest_unit_that_leaves_it_whole(entry, shown):
    assert elements.fact(entry) == shown
