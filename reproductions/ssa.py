"""Step-wise sensitivity analysis: how often units are outliers, what classes share, and which are alike (seed: S1 4).

Use: python -m reproductions.ssa SHARED, the folder of the reference data: models/squeezenet1_1 with data/images, and
models/resnet20_cifar10 with data/cifar10. Takes some minutes on one core; prints what it finds, and draws
pictures/ssa_outliers.png, pictures/ssa_graph.png, pictures/ssa_clusters.png and pictures/ssa_clusters_photographs.png.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from io import BytesIO
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from service.render.plots import clustermap, graph
from tests.resources import InMemory, InMemoryDataset, no_input
from workers.engine.data.examples import Choice
from workers.engine.model.model import Model
from workers.explanation.images.decoding import prepare
from workers.methods.catalogue import parse_method
from workers.methods.structure.ssa.dependency_graph import gather
from workers.methods.structure.ssa.outliers import outliers
from workers.methods.structure.ssa.walk import Steps
from workers.models.folder import read_folder
from workers.models.loading import load_model

PICTURES = Path(__file__).parent / "pictures"
CROPS, IMAGES, CONFIDENCE = 120, 100, 0.99
CHOSEN = {"confidence": CONFIDENCE, "images": IMAGES, "score": "probability"}  # as the seed does
TOP_FOUR = ("features.9", "features.10", "features.11", "features.12")
CLASSES = {132: "egret", 299: "meerkat", 339: "sorrel", 340: "zebra", 455: "bottlecap",
           541: "drum", 741: "prayer rug", 915: "yurt", 933: "cheeseburger"}  # fmt: skip


def crops(model: Model, path: Path, seed: int) -> Tensor:
    """A photograph cut out at random, half to all of its area, every other one mirrored."""
    spec, picture = model.card.input, Image.open(path).convert("RGB")
    random, found = np.random.default_rng(seed), []
    for i in range(CROPS):
        side = np.sqrt(random.uniform(0.5, 1))
        width, height = (round(side * length) for length in picture.size)
        left, top = (
            int(random.integers(0, whole - part + 1)) for whole, part in zip(picture.size, (width, height), strict=True)
        )
        part = picture.crop((left, top, left + width, top + height))
        out = BytesIO()
        (part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if i % 2 else part).save(out, "PNG")
        assert spec.image is not None
        found.append(torch.from_numpy(prepare(out.getvalue(), spec.image, spec.shape)[0]))
    return torch.stack(found)


class Items(InMemory):
    """A dataset in memory, for jobs that are not gone on with."""

    def __init__(self, x: Tensor, labels: NDArray[np.int64]) -> None:
        super().__init__({"items": InMemoryDataset(x, labels)})

    def saved(self, _: str) -> None:
        return None


def photographs(model: Model, shared: Path) -> Items:
    """The crops of one photograph of each class, with its label."""
    files = sorted((shared / "data" / "images").glob("*.jpg"))
    x, labels = [], []
    for c in CLASSES:
        path = next(file for file in files if f"_{c:03d}_" in file.name or file.stem.endswith(f"_{c:03d}"))
        x.append(crops(model, path, c))
        labels += [c] * CROPS
    return Items(torch.cat(x), np.array(labels))


def cifar(model: Model, shared: Path) -> Items:
    """The 1,500 images at hand."""
    stored, spec = np.load(shared / "data" / "cifar10" / "cifar10_samples.npz"), model.card.input.image
    assert spec is not None
    mean, std = (torch.tensor(one).view(1, 3, 1, 1) for one in (spec.mean, spec.std))
    x = (torch.from_numpy(stored["x_train"]).permute(0, 3, 1, 2).float() / 255 - mean) / std
    return Items(x, stored["y_train"].astype(np.int64))


def first_steps(model: Model, resources: Items, c: int, layers: Sequence[str]) -> dict[str, NDArray[np.bool_]]:
    """Which units below are outliers (images, units): for a class's logit, its probability, and the unit next below.

    That unit is the most frequent outlier of the probability.
    """
    top = model.folded.nodes[model.folded.output]
    steps, softmax = (Steps(model, layers, top, softmax) for softmax in (False, True))
    found = gather(model, no_input(model, resources), steps, Choice("items", (c,), CONFIDENCE, IMAGES))
    x = torch.cat(found.x)

    def beyond(of: Steps, part: int, unit: int) -> NDArray[np.bool_]:
        between, omegas = of.parts[part], []
        for chunk in torch.split(x, 16):
            with torch.no_grad():
                _, values = model.folded.run(chunk, between.reads)
            omegas.append(of.one_by_one(between, values, [unit])[:, 0])
        return outliers(torch.cat(omegas), 1.5, zeros=False).numpy()

    sure = beyond(softmax, 0, c)
    below = int(sure.sum(0).argmax())
    return {"logit": beyond(steps, 0, c), "probability": sure, f"unit {below} below": beyond(steps, 1, below)}


def fits(times: NDArray[np.int64]) -> str:
    """How frequency falls with rank: the exponent of a power law, its R^2 on logarithms, and that of an exponential."""
    if len(times) < 4 or times[0] == times[-1]:
        return f"{len(times)} units, each as often" if len(times) and times[0] == times[-1] else f"{len(times)} units"
    log, found = np.log(times), []
    for against in (np.log(np.arange(1, len(times) + 1)), np.arange(len(times))):
        slope, start = np.polyfit(against, log, 1)
        found.append((-slope, 1 - ((log - start - slope * against) ** 2).sum() / ((log - log.mean()) ** 2).sum()))
    return f"exponent {found[0][0]:.2f}, R^2 {found[0][1]:.2f} (exponential {found[1][1]:.2f})"


def power_law(
    model: Model, resources: Items, classes: Sequence[int], layers: Sequence[str]
) -> list[NDArray[np.float64]]:
    """Prints how often units are outliers; returns those of each class's second step, highest first."""
    found = []
    print("   down from                images  outliers an image  in any  in 9 of 10  frequency by rank")
    for c in classes:
        for down_from, beyond in first_steps(model, resources, c, layers).items():
            counts, images = beyond.sum(0), len(beyond)
            times = np.sort(counts[counts > 0])[::-1]
            often = int((counts >= 0.9 * images).sum())
            name = f"{CLASSES.get(c) if layers else model.card.label(c)}, {down_from}"
            shares = f"{beyond.mean():18.1%} {len(times) / len(counts):7.1%}"
            print(f"   {name:25} {images:5} {shares} {often:11}  {fits(times)}", flush=True)
        found.append(times / images)
    return found


def draw_power_law(counts: Sequence[NDArray[Any]], names: Sequence[str], path: Path) -> None:
    """Frequency by rank, both axes by powers of ten: a power law is a straight line."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for one, name in zip(counts, names, strict=True):
        shown = one[one > 0]
        axes.loglog(np.arange(1, len(shown) + 1), shown, marker=".", linewidth=1, label=name)
    axes.set(xlabel="rank of the unit", ylabel="share of images in which it is an outlier",
             title="Second step down from a class, SqueezeNet 1.1")  # fmt: skip
    axes.legend(fontsize=8, ncols=2)
    figure.savefig(path, dpi=110)


def told(model: Model, resources: Items, c: int, **parameters: Any) -> Any:
    """The info of the graph of a class over the images that the seed would choose."""
    asked = {"dataset": "items", "classes": [c], **CHOSEN, **parameters}
    return parse_method({"name": "ssa", **asked}).explain(model, no_input(model, resources)).info[0]


def shared(graphs: Sequence[Any]) -> None:
    """Prints for each layer what share of their units two graphs have in common, and what chance would have."""
    for layer in graphs[0]["layers"][1:]:
        name, count = layer["layer"], layer["units"]
        units = [{n["unit"] for n in g["nodes"] if n["layer"] == name} for g in graphs]
        pairs = [(len(a & b), len(a | b), len(a) * len(b) / count) for a, b in combinations(units, 2) if a | b]
        ours = np.mean([both / either for both, either, _ in pairs])
        chance = np.mean([by / (either + both - by) for both, either, by in pairs])
        size, all_ = np.mean([len(u) for u in units]), len(set.intersection(*units))
        print(f"   {name:12} {count:4} units, {size:5.1f} of them in a graph; two graphs share {ours:.0%}, "
              f"by chance {chance:.0%}; in all graphs {all_}")  # fmt: skip
    several = [sum(n["in_degree"] > 1 for n in g["nodes"]) / len(g["nodes"]) for g in graphs]
    print(f"   units that several above depend on: {np.mean(several):.0%} of a graph")


def clusters(model: Model, resources: Items, classes: Sequence[int], count: int, path: Path, **parameters: Any) -> None:
    """Prints the clusters, and draws the map."""
    graphs = [{"name": "ssa", "dataset": "items", "classes": [c], **{**CHOSEN, **parameters}} for c in classes]
    method = parse_method({"name": "ssa_clusters", "graphs": graphs, "clusters": count})
    result = method.explain(model, no_input(model, resources))
    info = result.info[0]
    for cluster in range(count):
        print(f"   {cluster}:", ", ".join(g["labels"][0] for g in info["graphs"] if g["cluster"] == cluster))
    print(f"   {len(info['nodes'])} nodes, {info['shared_by_all']} of them in every graph", flush=True)
    meta = {"method": {"name": "ssa_clusters"}, "model": {"name": model.card.name}, "info": info}
    path.write_bytes(clustermap.png(meta, {name: np.asarray(array[0]) for name, array in result.arrays.items()}))


def main(at: Path) -> None:
    PICTURES.mkdir(exist_ok=True)
    squeezenet = load_model(read_folder(at / "models" / "squeezenet1_1"))
    pictures = photographs(squeezenet, at)
    print("1. Outliers of the first step, SqueezeNet, crops of one photograph a class (p >= 0.99):")
    counts = power_law(squeezenet, pictures, [*CLASSES], TOP_FOUR)
    draw_power_law(counts, [*CLASSES.values()], PICTURES / "ssa_outliers.png")
    print("2. What the graphs of two classes share, SqueezeNet, down from the four last layers:")
    graphs = [told(squeezenet, pictures, c, layers=TOP_FOUR) for c in CLASSES]
    shared(graphs)
    zebra = {
        "method": {"name": "ssa"},
        "model": {"name": squeezenet.card.name},
        "info": graphs[list(CLASSES).index(340)],
    }
    (PICTURES / "ssa_graph.png").write_bytes(graph.png(zebra, {}))
    print("3. Clusters, SqueezeNet, the whole net:")
    clusters(squeezenet, pictures, [*CLASSES], 4, PICTURES / "ssa_clusters_photographs.png")
    resnet = load_model(read_folder(at / "models" / "resnet20_cifar10"))
    images = cifar(resnet, at)
    print("4. ResNet-20 and CIFAR-10, up to 100 images a class (p >= 0.99): the first step")
    power_law(resnet, images, range(10), ())
    for fence, score in ((1.5, "probability"), (0.5, "probability"), (0.5, "logit")):
        print(f"5. Clusters, ResNet-20, fence {fence}, down from the {score}:")
        clusters(resnet, images, range(10), 4, PICTURES / "ssa_clusters.png", fence=fence, score=score)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
