"""The figures and tables of the seeds: which were tried, by what, with what outcome, and what the others would need."""

from __future__ import annotations

from typing import Literal, NamedTuple

Verdict = Literal["agrees", "agrees in part", "differs", "not comparable", "not tried"]


class Figure(NamedTuple):
    """`command` runs it, with {shared} for the folder of reference data; none where it was not tried."""

    name: str
    verdict: Verdict
    why: str
    page: str = ""
    command: tuple[str, ...] = ()


MNIST = "{shared}/data/mnist.npz"
CIFAR = "{shared}/data/cifar10/cifar10_samples.npz"
RESNET = "{shared}/models/resnet20_cifar10"
SQUEEZENET = "{shared}/models/squeezenet1_1"
SHIFT = ("reproductions.shift", MNIST)
SANITY = ("reproductions.sanity", CIFAR, "3")
FLIPPING = ("reproductions.flipping", RESNET, CIFAR)
DROPOUT = ("reproductions.mc_dropout", MNIST)
SSA = ("reproductions.ssa", "{shared}")
ACTIVITY = ("benchmarks.two_conv", MNIST, "13")
PROJECTIONS = ("reproductions.projections", MNIST)
UNSURE = ("reproductions.unsure", MNIST)

FIGURES: tuple[Figure, ...] = (
    Figure(
        "S0 Table 2, MNIST",
        "agrees in part",
        "order of the rows and effect of noise; clean digits 24 % (17 %)",
        "activity.md",
        ACTIVITY,
    ),
    Figure(
        "S0 Table 2, other rows",
        "not comparable",
        "needs smallNORB (96 x 96, four encodings of its greys) and the 50,000 training images of CIFAR-10",
    ),
    Figure(
        "S0 Fig. 7", "agrees in part", "deep Taylor high, Insens rises to the input; .25 on labels", "sanity.md", SANITY
    ),
    Figure(
        "S0 Fig. 2",
        "agrees",
        "v = w . x + b for ten units; dense ones change more with the input",
        "projections.md",
        PROJECTIONS,
    ),
    Figure(
        "S0 Insens under noise",
        "differs",
        "its maps lose the digit as soon as the others' do, at three strengths",
        "projections.md",
        PROJECTIONS,
    ),
    Figure(
        "S0 Fig. 5, 6",
        "not tried",
        "pictures without numbers; needs smallNORB, and all of CIFAR-10 (1500 images are at hand)",
    ),
    Figure(
        "S0 Fig. 8-11",
        "agrees in part",
        "maps lie on the digit that counts, LRP by sign; Insens on both",
        "doubles.md",
        ("reproductions.doubles", MNIST),
    ),
    Figure(
        "S0 Fig. 12, 13",
        "agrees in part",
        "an attack leaves Insens and deep Taylor alike; others turn, and show parts of the wrong digit",
        "projections.md",
        PROJECTIONS,
    ),
    Figure("S1 Fig. 1b", "agrees", "an image's dependencies as a graph", "ssa.md", SSA),
    Figure("S1 Fig. 2", "differs", "an exponential fits better than the power law, at 64 and 512 units", "ssa.md", SSA),
    Figure(
        "S1 Fig. 4, 5", "agrees in part", "classes share subgraphs and cluster; not on the seed's ten", "ssa.md", SSA
    ),
    Figure("S1 with 4096 units", "not comparable", "needs VGG-16 with its ImageNet weights"),
    Figure(
        "S2 Fig. 2",
        "agrees",
        "pattern, attribution and filter of the toy, rho 1 and .723",
        "toy.md",
        ("reproductions.toy",),
    ),
    Figure(
        "S2 Fig. 3", "agrees in part", "random < filter < fitted; the two fitted are alike", "flipping.md", FLIPPING
    ),
    Figure("S2 Fig. 4", "agrees in part", "two-component is steepest, by a small margin", "flipping.md", FLIPPING),
    Figure("S2 Fig. 1, 5, 6", "not comparable", "pictures of VGG-16 on ImageNet, whose weights are not at hand"),
    Figure("S3 Fig. 18, 19", "agrees", "approach 1 fails, Algorithm 1 tells", "mc_dropout.md", DROPOUT),
    Figure(
        "S3 2.1.1, S4 4.4 (experts)",
        "agrees",
        "a denoiser makes digits; a Boltzmann machine is no help, as the seed found",
        "density.md",
        ("reproductions.density", MNIST),
    ),
    Figure(
        "S3 Fig. 20, 21",
        "agrees",
        "LRP has more blue the less is known, deep Taylor is empty at 100 %",
        "unsure.md",
        UNSURE,
    ),
    Figure(
        "S3 Fig. 22-24", "agrees in part", "many passes beat one; a temperature changes nothing", "unsure.md", UNSURE
    ),
    Figure(
        "S4 Fig. 1.4 (SpRAy)",
        "agrees",
        "a planted cheat is a cluster",
        "clever_hans.md",
        ("reproductions.clever_hans", MNIST),
    ),
    Figure(
        "S4 Fig. 8.4-8.8",
        "not comparable",
        "needs GoogLeNet with its weights and ImageNet with boxes; the method's closed forms are tests",
    ),
    Figure(
        "S4 Table 11.2",
        "agrees",
        "also contextual decomposition on addition",
        "lstm.md",
        ("benchmarks.lstm_table", "1"),
    ),
    Figure(
        "S4 Fig. 11.5, left",
        "agrees in part",
        "on the demo of words all are before random, LRP and occlusion before the gradient; gradient x input is level",
        "word_deletion.md",
        ("reproductions.word_deletion", "--data", "/usr/share/dict"),
    ),
    Figure(
        "S4 Fig. 11.5, right",
        "not comparable",
        "needs the Stanford Sentiment Treebank and the LSTM of Li et al., with sentences that it misreads",
    ),
    Figure(
        "S4 Fig. 12.2-12.8",
        "not comparable",
        "needs Broden and nets of Places and ImageNet with all their epochs; planted detectors are a test",
    ),
    Figure(
        "S4 Fig. 13.4",
        "agrees in part",
        "LRP moves less; gradient times input is not less straight",
        "continuity.md",
        ("reproductions.continuity", SQUEEZENET, "{shared}/data/images"),
    ),
    Figure("S4 Fig. 14.2-14.5", "agrees", "who stays and who moves, all of it", "shift.md", SHIFT),
    Figure(
        "S4 Fig. 14.6", "agrees", "the attack deceives what is not invariant", "attack.md", ("reproductions.attack",)
    ),
    Figure(
        "S4 Table 16.1",
        "not comparable",
        "needs C3D and the test videos of Sports-1M; its coefficients of known clips are a test",
    ),
    Figure(
        "S4 Fig. 22.4, LRP",
        "not comparable",
        "other machine and peer: a plain NumPy LRP here",
        "per_image.md",
        ("benchmarks.per_image",),
    ),
)


def table() -> str:
    """All of them with their outcomes, in Markdown."""
    lines = ["| figure | outcome | in a line | page |", "|---|---|---|---|"]
    for one in FIGURES:
        page = f"[{one.page}]({one.page})" if one.page else ""
        lines.append(f"| {one.name} | {one.verdict} | {one.why} | {page} |")
    return "\n".join(lines)
