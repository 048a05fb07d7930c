"""What the tests themselves stand on: another processor simulated, and what is said of skipped ones."""

from __future__ import annotations

import pytest
import torch

from tests import skipped
from tests.last_bits import ULPS, another_processor


def test_another_processor_moves_the_last_bits_and_no_more() -> None:
    x, w = torch.randn(64, 32, generator=torch.Generator().manual_seed(0)), torch.ones(32, 8)
    here = x @ w
    with another_processor():
        there, again, doubled = x @ w, x @ w, x.double() @ w.double()
    moved = (there.view(torch.int32) - here.view(torch.int32)).abs()
    assert 0 < moved.max() <= ULPS
    assert torch.equal(there, again)
    assert torch.equal(doubled, x.double() @ w.double())


def test_its_backward_is_moved_too() -> None:
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    w = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    (here,) = torch.autograd.grad((x @ w).square().sum(), x)
    with another_processor():
        (there,) = torch.autograd.grad((x @ w).square().sum(), x)
    assert not torch.equal(here, there)
    torch.testing.assert_close(here, there, rtol=1e-5, atol=1e-6)


def test_skipped_tests_are_counted_by_reason() -> None:
    def report(reason: str) -> pytest.TestReport:
        place = ("tests/test_x.py", 3, f"Skipped: {reason}")
        return pytest.TestReport("x", ("", 1, ""), {}, "skipped", place, "call")

    reports = [report("npm is not installed"), *[report("nginx is not installed")] * 2]
    assert skipped.told(reports) == "skipped 3: 2 because nginx is not installed; 1 because npm is not installed"
    assert skipped.told([]) == ""
