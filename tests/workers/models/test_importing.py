"""A factory that cannot be imported or called is told in a sentence: what, where, and what would be right."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.workers.models.folders import NET
from workers.export import main


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Told:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "lib")
    return Told(tmp_path, capsys)


class Told:
    """What `whence export` says of a source, given the files that are there."""

    def __init__(self, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.place, self.capsys = place, capsys

    def __call__(self, source: str = "python:net.py:build", **files: str) -> str:
        for name, content in files.items():
            file = self.place / (name.replace("__", "/") + ".py")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        loaded = set(sys.modules)
        code = main([source, "--out", "models/net", "--shape", "3,6,6"])
        for name in set(sys.modules) - loaded:
            if name.startswith("toy_"):
                del sys.modules[name]
        output = self.capsys.readouterr()
        assert "Traceback" not in output.err + output.out
        assert str(self.place) not in output.err
        assert (code, (self.place / "models/net").exists()) in ((0, True), (1, False))
        return output.err


def test_a_package_that_a_library_misses_is_told_with_who_imports_it(told: Told) -> None:
    said = told(net="from toy_library import net as build\n", lib__toy_library="\nimport toy_missing.parts\n")
    assert "needs the package toy_missing, which is not installed (imported by toy_library.py:2)" in said


def test_a_part_that_an_installed_package_has_not_is_told(told: Told) -> None:
    said = told(net="import numpy.toy_missing\n")
    assert "needs the package numpy, which has no numpy.toy_missing in the version that is installed" in said


def test_a_name_that_a_library_has_not_is_told_with_who_imports_it(told: Told) -> None:
    said = told(net="import toy_library\n", lib__toy_library="from toy_other import missing\n", lib__toy_other="")
    assert "failed to import: cannot import name 'missing' from 'toy_other'" in said
    assert "(imported by toy_library.py:1)" in said


@pytest.mark.parametrize(
    ("net", "said"),
    [
        ("def build(:\n", "failed: SyntaxError at net.py:1 (def build(:): invalid syntax"),
        ("import beside\n", "failed: SyntaxError at beside.py:2 (x = = 1)"),
        ("def build(width, depth=3): ...", "needs arguments (width); name a function that takes none, as def build()"),
        ("from torch import nn\nbuild = nn.Linear", "needs arguments (in_features, out_features); name a function"),
        ("def build():\n    return {}['x']\n", "failed: KeyError at net.py:2 (return {}['x']): 'x'"),
        ("build = 3\n", "failed: TypeError"),
        ("import sys\nsys.exit(2)\n", "ends the process at net.py:2 (sys.exit(2)); put what is for the command line"),
        ("import argparse\nargparse.ArgumentParser().parse_args(['--x'])\n", "ends the process at net.py:2"),
        ("def build(): raise SystemExit\n", "ends the process at net.py:1"),
        ("def other(): ...\n", "failed: AttributeError: net.py has no build"),
    ],
)
def test_a_factory_that_fails_is_told_with_its_line(told: Told, net: str, said: str) -> None:
    assert said in told(net=net, beside="\nx = = 1\n")


@pytest.mark.parametrize("source", ["python:toy_nowhere:build", "python:toy_package.nowhere:build"])
def test_a_module_that_is_not_there_is_told(told: Told, source: str) -> None:
    named = source.split(":")[1]
    assert f"names a module that is not there: there is no {named} where" in told(source, lib__toy_package____init__="")


def test_files_beside_the_factory_are_imported(told: Told) -> None:
    imports = "from parts.layers import activation\nfrom torch import nn\n"
    net = NET.replace("from torch import nn", imports).replace("nn.ReLU()", "activation()")
    assert told(net=net, parts__layers="from torch import nn\ndef activation(): return nn.ReLU()\n") == ""
