"""axe-core finds nothing wrong with the page, in light and in dark, at a desk and on a phone."""

from __future__ import annotations

import shutil
import subprocess
import tarfile

import pytest

from tests.browser.site import Site
from tests.patience import PATIENCE_S

AXE = "axe-core@4"
PHONE = (390, 844)


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Its program, from npm: it is no part of Whence."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("axe")
    try:
        subprocess.run([npm, "pack", AXE, "--silent"], cwd=folder, check=True, capture_output=True, timeout=PATIENCE_S)
    except (subprocess.SubprocessError, OSError):
        pytest.skip(f"npm could not get {AXE}")
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        source = archive.extractfile("package/axe.min.js")
        assert source is not None
        return source.read().decode()


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
@pytest.mark.parametrize("size", [(1280, 800), pytest.param(PHONE, marks=pytest.mark.slow)])
def test_axe_finds_nothing(site: Site, axe: str, scheme: str, size: tuple[int, int]) -> None:
    visit = site.visit(size=size, color_scheme=scheme, bypass_csp=True)
    visit.example(3)
    visit.wait_for_results(1)
    visit.choose("lrp", "occlusion")
    visit.wait_for_results(3)
    visit.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    visit.page.select_option("#compare", "class")
    visit.wait_for_results(6)
    visit.parameter("integrated_gradients", "steps", "0")
    visit.page.wait_for_selector("#p-integrated_gradients-steps-error:not([hidden])")
    visit.page.wait_for_function("() => document.querySelectorAll('.cell .error').length === 2")
    site.refusals = 2  # one for each class; what was there already is not asked for again
    visit.page.add_script_tag(content=axe)
    found = visit.page.evaluate("async () => (await axe.run()).violations")
    assert [(one["id"], one["help"], [node["html"][:200] for node in one["nodes"]][:3]) for one in found] == []


def test_a_phone_scrolls_in_one_direction(site: Site) -> None:
    visit = site.visit(size=PHONE)
    visit.example(3)
    visit.wait_for_results(1)
    visit.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
