"""Many inputs in one job from the page: what is sent, how far it is, what comes of it."""

from __future__ import annotations

import shutil
import zipfile
from base64 import b64encode
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image

from tests.browser.site import Site, Visit
from tests.patience import PATIENCE_S
from tests.tree import ROOT

DIGITS = sorted((ROOT / "examples").glob("*.png"))


def finished(visit: Visit, words: str) -> str:
    """The job's id, once it is shown."""
    visit.page.wait_for_selector(f"#many-told:has-text('{words}')")
    visit.page.wait_for_function("() => document.getElementById('many-sheet').naturalWidth > 0")
    assert not visit.page.locator("#many-error").is_visible()
    address: str = visit.page.get_attribute("#many-files-made a", "href")
    return address.split("/")[-2]


def opened(visit: Visit) -> None:
    visit.page.click("#many > summary")
    assert visit.page.is_disabled("#many-explain")


def test_images_are_one_job_with_a_summary_and_sheets(site: Site, visit: Visit) -> None:
    opened(visit)
    visit.page.set_input_files("#many-files", [str(path) for path in DIGITS])
    assert "each for what it is predicted to be" in visit.page.inner_text("#many-about")
    visit.page.click("#many-explain")
    key = finished(visit, "10 inputs are explained.")
    assert visit.page.inner_text("#many-page") == "Sheet 1 of 1"
    items = httpx.get(f"{site.url}/api/v1/explanations/{key}/items", trust_env=False, timeout=PATIENCE_S).json()[
        "items"
    ]
    job = httpx.get(f"{site.url}/api/v1/explanations/{key}", trust_env=False, timeout=PATIENCE_S).json()
    asked = {
        "model": "digits",
        "method": job["method"]["of"],
        "input": {"image": b64encode(DIGITS[3].read_bytes()).decode()},
    }
    alone: dict[str, Any] = httpx.post(
        f"{site.url}/api/v1/explanations", json=asked, trust_env=False, timeout=PATIENCE_S
    ).json()
    assert items[3]["id"] == alone["id"], "each is the explanation that it is alone"
    visit.page.select_option("#many-sort", "worst")
    visit.page.wait_for_function("() => document.getElementById('many-sheet').src.endsWith('sort=worst')")
    assert visit.page.locator("#many-sort option[value=mistaken]").is_hidden(), "nobody said what they are"


def test_a_table_is_rows_in_any_order_of_columns(site: Site, visit: Visit) -> None:
    opened(visit)
    visit.page.select_option("#model", "rooms")
    visit.wait_for_results(1)
    table = '"age",label,rooms,distance\n' + "".join(f"{age},{age % 2},3,1.5\n" for age in range(30))
    visit.page.set_input_files("#many-files", {"name": "t.csv", "mimeType": "text/csv", "buffer": table.encode()})
    visit.page.click("#many-explain")
    key = finished(visit, "30 inputs are explained.")
    assert visit.page.inner_text("#many-page") == "Sheet 1 of 2"
    visit.page.click("#many-next")
    assert visit.page.inner_text("#many-page") == "Sheet 2 of 2"
    assert visit.page.is_disabled("#many-next")
    items = httpx.get(f"{site.url}/api/v1/explanations/{key}/items", trust_env=False, timeout=PATIENCE_S).json()[
        "items"
    ]
    seen = site.numbers(items[7]["id"])
    assert seen.shape == (3,)
    assert [one["label"]["index"] for one in items[:3]] == [0, 1, 0]


def labels_of(site: Site, key: str) -> list[str | None]:
    items = httpx.get(f"{site.url}/api/v1/explanations/{key}/items", trust_env=False, timeout=PATIENCE_S).json()[
        "items"
    ]
    return [one["label"] and one["label"]["label"] for one in items]


def test_a_folder_is_sent_with_its_folders_as_classes(site: Site, visit: Visit, tmp_path: Path) -> None:
    for digit in range(4):
        place = tmp_path / "tree" / ("odd" if digit % 2 else "even") / DIGITS[digit].name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(DIGITS[digit], place)
    (tmp_path / "tree" / "odd" / ".hidden.png").write_bytes(b"no image")
    (tmp_path / "tree" / "notes.txt").write_text("no image")
    opened(visit)
    visit.page.set_input_files("#many-folder", tmp_path / "tree")
    visit.page.click("#many-explain")
    assert labels_of(site, finished(visit, "4 inputs are explained.")) == ["even", "even", "odd", "odd"]
    visit.page.select_option("#many-sort", "mistaken")
    visit.page.wait_for_function("""() => {
        const sheet = document.getElementById('many-sheet');
        return sheet.src.endsWith('sort=mistaken') && sheet.complete && sheet.naturalWidth > 0;
    }""")


def dragged(visit: Visit, *paths: Path) -> None:
    """Files and folders of the disk, dropped as a person drops them."""
    moved = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    session = visit.page.context.new_cdp_session(visit.page)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 300, "data": moved})


def test_folders_that_are_dragged_onto_the_page_are_classes(site: Site, visit: Visit, tmp_path: Path) -> None:
    for digit in range(6):
        place = tmp_path / ("odd" if digit % 2 else "even") / DIGITS[digit].name
        place.parent.mkdir(exist_ok=True)
        shutil.copy(DIGITS[digit], place)
    dragged(visit, tmp_path / "odd", tmp_path / "even")
    visit.page.wait_for_selector("#many-about:has-text('6 files: ')")
    visit.page.click("#many-explain")
    assert labels_of(site, finished(visit, "6 inputs are explained.")) == ["even"] * 3 + ["odd"] * 3
    dragged(visit, tmp_path)
    visit.page.wait_for_selector("#many-about:has-text('6 files: ')")
    visit.page.click("#many-explain")
    assert labels_of(site, finished(visit, "6 inputs are explained.")) == ["even"] * 3 + ["odd"] * 3


def test_folders_in_folders_lose_no_file_to_the_name_of_another(site: Site, visit: Visit, tmp_path: Path) -> None:
    for path, digit in (("a/b-c/d.png", 1), ("a/b/c-d.png", 2), ("top.png", 3)):
        (tmp_path / "tree" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(DIGITS[digit], tmp_path / "tree" / path)
    opened(visit)
    visit.page.set_input_files("#many-folder", tmp_path / "tree")
    visit.page.click("#many-explain")
    key = finished(visit, "3 inputs are explained.")
    items = httpx.get(f"{site.url}/api/v1/explanations/{key}/items", trust_env=False, timeout=PATIENCE_S).json()[
        "items"
    ]
    assert {one["prediction"]["index"] for one in items} == {1, 2, 3}


def test_archives_and_stacks_are_sent_as_they_are(site: Site, visit: Visit, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        for path in DIGITS[:3]:
            archive.write(path, path.name)
    stack = np.stack([np.asarray(Image.open(path).convert("L"), np.float32)[None] / 255 for path in DIGITS[:5]])
    np.save(tmp_path / "stack.npy", stack)
    np.save(tmp_path / "turned.npy", np.asfortranarray(stack[:4]))
    np.savez(tmp_path / "two.npz", inputs=stack[:2], labels=np.arange(2))
    np.save(tmp_path / "flat.npy", stack[:, 0])
    opened(visit)
    for name, count in (("d.zip", 3), ("stack.npy", 5), ("turned.npy", 4), ("two.npz", 2)):
        visit.page.set_input_files("#many-files", tmp_path / name)
        assert visit.page.inner_text("#many-about").startswith(f"{name}: Integrated gradients on digits")
        visit.page.click("#many-explain")
        key = finished(visit, f"{count} inputs are explained.")
    items = httpx.get(f"{site.url}/api/v1/explanations/{key}/items", trust_env=False, timeout=PATIENCE_S).json()[
        "items"
    ]
    asked = {"model": "digits", "method": "integrated_gradients", "input": {"tensor": tensor(stack[1])}}
    alone = httpx.post(f"{site.url}/api/v1/explanations", json=asked, trust_env=False, timeout=PATIENCE_S).json()
    np.testing.assert_array_equal(site.numbers(items[1]["id"]), site.numbers(alone["id"]))
    visit.page.set_input_files("#many-files", tmp_path / "flat.npy")
    visit.page.click("#many-explain")
    visit.page.wait_for_selector("#many-error:has-text('the model takes [1, 28, 28]')")
    site.refusals = 1


def tensor(values: Any) -> dict[str, Any]:
    return {"shape": list(values.shape), "dtype": "float32", "data": values.ravel().tolist()}


DROP = """files => {
    const moved = new DataTransfer();
    for (const [name, data] of files) moved.items.add(new File([new Uint8Array(data)], name));
    document.dispatchEvent(new DragEvent("drop", {dataTransfer: moved, cancelable: true}));
}"""


def test_several_files_that_are_dropped_are_many(visit: Visit) -> None:
    visit.page.evaluate(DROP, [[path.name, list(path.read_bytes())] for path in DIGITS[:3]])
    visit.page.wait_for_selector("#many-about:has-text('3 files: ')")
    assert visit.pressed() == "class 4", "the one that is explained stays"
    visit.page.keyboard.press("Enter")  # the button has the focus
    finished(visit, "3 inputs are explained.")
    visit.page.evaluate(DROP, [["t.csv", list(b"1,2,3")]])
    visit.page.wait_for_selector("#many-about:has-text('t.csv: ')")


def test_what_is_shown_of_many_says_of_what_and_is_found_again(site: Site, visit: Visit) -> None:
    opened(visit)
    visit.page.set_input_files("#many-files", [str(path) for path in DIGITS[:2]])
    visit.page.click("#many-explain")
    key = finished(visit, "2 inputs are explained.")
    assert visit.page.is_hidden("#many-was")
    visit.page.click(".bars button >> nth=1")
    visit.page.wait_for_selector(
        "#many-was:has-text('Integrated gradients on digits, each for what it is predicted to be')"
    )
    visit.wait_for_results(1)
    other = site.visit(visit.page.url)
    assert finished(other, "2 inputs are explained.") == key
    visit.page.select_option("#model", "language")
    visit.page.wait_for_selector("#many-about:has-text('language takes texts')")
    assert visit.page.is_disabled("#many-explain")


def test_the_browsers_back_goes_to_the_job_before(site: Site, visit: Visit) -> None:
    """The job that the address names is what is shown, whatever was followed last."""
    opened(visit)
    made = []
    for count in (2, 3):
        visit.page.set_input_files("#many-files", [str(path) for path in DIGITS[:count]])
        visit.page.click("#many-explain")
        made.append(finished(visit, f"{count} inputs are explained."))
        assert f"m={made[-1]}" in visit.page.url
    for go, key, count in (("back", made[0], 2), ("forward", made[1], 3)):
        visit.page.evaluate(f"() => history.{go}()")
        assert finished(visit, f"{count} inputs are explained.") == key
        assert f"m={key}" in visit.page.url
    visit.page.evaluate("key => location.hash = location.hash.replace(/m=\\w+/, 'm=' + key)", made[0])
    assert finished(visit, "2 inputs are explained.") == made[0]
    visit.page.evaluate("() => location.hash = location.hash.replace(/&m=\\w+/, '')")
    visit.page.wait_for_selector("#many-shown", state="hidden")
    assert visit.page.inner_text("#many-told") == ""


def test_a_job_that_runs_is_left_for_the_one_of_the_address(visit: Visit, tmp_path: Path) -> None:
    opened(visit)
    visit.page.set_input_files("#many-files", [str(path) for path in DIGITS[:2]])
    visit.page.click("#many-explain")
    first = finished(visit, "2 inputs are explained.")
    visit.choose("lime")
    visit.page.click(".method:has-text('Integrated gradients')")  # LIME is the first that is chosen
    np.save(tmp_path / "stack.npy", np.random.default_rng(0).random((60, 1, 28, 28), np.float32))
    visit.page.set_input_files("#many-files", tmp_path / "stack.npy")
    visit.page.click("#many-explain")
    visit.page.wait_for_selector("#many-told:has-text('of 60')")
    assert f"m={first}" not in visit.page.url
    visit.page.evaluate("() => history.back()")
    assert finished(visit, "2 inputs are explained.") == first
    visit.page.evaluate("() => history.forward()")
    assert finished(visit, "60 inputs are explained.") != first


@pytest.mark.slow
@pytest.mark.timeout(10 * PATIENCE_S)
def test_a_worker_that_dies_in_the_middle_is_not_noticed_but_by_the_time(visit: Visit, tmp_path: Path) -> None:
    opened(visit)
    visit.choose("lime")
    visit.page.click(".method:has-text('Integrated gradients')")
    np.save(tmp_path / "stack.npy", np.random.default_rng(1).random((100, 1, 28, 28), np.float32))
    visit.page.set_input_files("#many-files", tmp_path / "stack.npy")
    visit.page.click("#many-explain")
    visit.page.wait_for_function("() => document.getElementById('many-progress').value > 10")
    own = psutil.Process().children(recursive=True)
    killed = [one for one in own if one.cmdline()[-2:] == ["-m", "workers"]]
    assert killed
    for one in killed:
        one.kill()
    visit.page.set_default_timeout(7000 * PATIENCE_S)
    finished(visit, "100 inputs are explained.")
    visit.page.wait_for_function("() => !document.querySelector('#model-error:not([hidden])')")


def test_what_is_wrong_is_told_and_another_file_works(visit: Visit) -> None:
    opened(visit)
    for name, content, said in (
        ("notes.txt", b"no image", "These are no images"),
        ("t.csv", b"a,b\n1,2\n", "The table has"),
    ):
        visit.page.set_input_files("#many-files", {"name": name, "mimeType": "text/plain", "buffer": content})
        visit.page.click("#many-explain")
        visit.page.wait_for_selector(f"#many-error:has-text('{said}')")
    visit.page.set_input_files("#many-files", str(DIGITS[1]))
    visit.page.click("#many-explain")
    finished(visit, "1 input is explained.")
