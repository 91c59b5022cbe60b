"""Notebooks: planted faults."""

import json

import pytest

from lab.check import gates

from .shared import NOTEBOOK, add, assert_found, ids, notebook, reported_by

FAULTS = [
    ("notebook", add("notebooks/demo.ipynb", '{"cells": [')),
    ("notebook-output", notebook(outputs=[{"output_type": "stream", "text": "1"}])),
    ("notebook-output", notebook(execution_count=3)),
    ("notebook-trap", notebook(source="!node demo/order.mjs")),
    ("notebook-trap", notebook(source="%%javascript\n1")),
    ("notebook-trap", notebook(source="import subprocess\nsubprocess.run(['node'])")),
    ("notebook-trap", notebook(source="p = subprocess.Popen(['node'])")),
    ("notebook-trap", notebook(source="open('/home/ann/data.csv')")),
    ("notebook-trap", notebook(metadata={"tags": ["raises-exception"]})),
    (
        "notebook-trap",
        add(
            "notebooks/demo.ipynb",
            json.dumps({**NOTEBOOK, "metadata": {"execution": {"allow_errors": True}}}),
        ),
    ),
]


@pytest.mark.parametrize(("code", "plant"), FAULTS, ids=ids(FAULTS))
def test_a_planted_fault_is_found(code, plant):
    assert_found(code, plant)


def test_every_code_of_this_gate_has_a_planted_fault():
    assert reported_by(gates.notebooks) == {code for code, _ in FAULTS}
