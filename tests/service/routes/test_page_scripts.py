"""The page's scripts can be read, each as the module that it is."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from service.routes.page import FOLDER

LABELS = ["tench, Tinca tinca", "pneumonia, left", "pneumonia, right", "cat", "cat", "5", "__proto__"]
TOLD = ["tench", "pneumonia, left", "pneumonia, right", "cat (3)", "cat (4)", "class 5", "__proto__"]
ASKING = """
const model = {{output: "logits", outputs: [{count}], classes: {labels}}};
console.log(JSON.stringify(model.classes.map((_, index) => labelOf(model, index))));
"""
without_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


@without_node
@pytest.mark.parametrize("script", sorted(FOLDER.rglob("*.js")), ids=lambda path: str(path.relative_to(FOLDER)))
def test_a_script_is_a_module_without_a_fault(script: Path) -> None:
    source = script.read_bytes()
    read = subprocess.run(["node", "--input-type=module", "--check"], input=source, capture_output=True, check=False)
    assert read.returncode == 0, read.stderr.decode()


@without_node
def test_no_two_classes_have_one_name() -> None:
    asking = ASKING.format(count=len(LABELS), labels=json.dumps(LABELS))
    source = (FOLDER / "state.js").read_text() + asking
    read = subprocess.run(["node", "--input-type=module"], input=source.encode(), capture_output=True, check=True)
    assert json.loads(read.stdout) == TOLD


READING = """
const model = {{input: {{names: ["rooms", "age"], shape: [2]}}, classes: []}};
try {{
  console.log(JSON.stringify([...tableOf({text}, model).values]));
}} catch (error) {{
  console.log(error.message);
}}
"""


@without_node
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rooms,age,id\n3,5,1\n", "[3,5]"),
        ("rooms,age\n3,5,1\n", "Row 1 of the table: it has 3 cells, where the first line has 2."),
        ("1,2\n3,5,1\n", "Row 2 of the table: it has 3 cells, where the first line has 2."),
        ("rooms,age,id\n3,5,1\n5,1\n", "Row 2 of the table: it has 2 cells, where the first line has 3."),
    ],
)
def test_a_line_whose_cells_are_shifted_is_no_row(text: str, said: str) -> None:
    """As of a decimal comma, or of a cell left out: the numbers would be another row's, and nothing would say so."""
    source = (FOLDER / "input" / "table.js").read_text() + READING.format(text=json.dumps(text))
    read = subprocess.run(["node", "--input-type=module"], input=source.encode(), capture_output=True, check=True)
    assert read.stdout.decode().strip() == said
