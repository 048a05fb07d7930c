"""A rule stands in one file, and is found there: by its name in a table, or by the operations that it serves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.tree import ROOT

NAMED = '''
from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from workers.engine.rules.entry import EPSILON, Entry, Epsilon_
from workers.engine.rules.linear import Linear, Term

if TYPE_CHECKING:
    from workers.engine.rules.rule import Rule


class AbsoluteEntry(Entry):
    """By the size of the weights."""

    rule: Literal["absolute"] = "absolute"
    epsilon: Epsilon_ = EPSILON

    def bind(self, node, graph, bounds) -> Rule:
        return Absolute(node, self.epsilon)


class Absolute(Linear):
    def backward(self, local, relevance):
        return [self.share([Term(local.leaves[0].detach(), self.weight.abs(), None)], relevance)]
'''
BY_OPERATION = """
from workers.engine.rules.by_operation.passing import Pass
from workers.engine.rules.weightless import serves


class Angular(Pass):
    pass


@serves({"atan2"})
def angle(of):
    return Angular() if len(of.sources) == 1 else None
"""
ASKED = """
import sys
from pathlib import Path

from workers.engine.rules import by_operation, named

for room in (named, by_operation):
    room.__path__.append(str(Path(sys.argv[1]) / room.__name__.rpartition(".")[2]))

import torch

from tests.toys import model_of
from workers.methods.catalogue import parse_method


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(4, 3)

    def forward(self, x):
        return torch.atan2(self.fc(x), torch.ones(3))


lrp = parse_method({"name": "lrp", "composite": [{"rule": "absolute"}]})
model = model_of(Net(), (4,))
print(sorted(set(model.rules_by_layer(lrp.table, lrp.choices).values())))
"""
WITHOUT_TORCH = "import sys; sys.modules['torch'] = None; from workers.methods.catalogue import parse_method"


@pytest.mark.slow
def test_a_new_rule_is_one_new_file(tmp_path: Path) -> None:
    for room, text in (("named", NAMED), ("by_operation", BY_OPERATION)):
        (tmp_path / room).mkdir()
        (tmp_path / room / "toy.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", ASKED, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "['absolute', 'angular']", done.stderr


def test_tables_are_read_where_torch_is_not_installed() -> None:
    read = f"{WITHOUT_TORCH}; parse_method({{'name': 'lrp', 'composite': [{{'rule': 'z_box', 'low': 0}}]}})"
    done = subprocess.run([sys.executable, "-c", read], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
