"""Shift attack: the explanation that one wants, by a shift that no prediction can tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from workers.explanation.perturbation import OwnInput
from workers.explanation.result import Attribution, Check
from workers.methods.fields.held import Attributing
from workers.methods.method import Extent, Method, Seed

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model

REACH = 1e-5  # of what a number's precision may take of a shift


class ShiftAttack(Method):
    """What a method attributes to x + m by a model made for inputs shifted by m = s / gradient - x (S4 ch. 14, l.4964).

    The second model computes the same from x + m as the first from x; yet input times gradient is s there, whatever s
    was `wanted`, and other methods that are not invariant follow it as far as they do. Shape and units are those of the
    method. `first` is what it attributes to x by the first model, `shift` is m. Where the gradient is 0, or so small
    that the shift would be lost in rounding, nothing is shifted (`out_of_reach` in the info counts these). The check
    compares the two models' scores. Raises MethodNotApplicable where the input meets what is not affine before a layer
    with a bias. Source: Kindermans et al. 2019; S4 14.4.
    """

    one_input = "shifts every value of one input by itself"
    citation = "Kindermans et al. 2019, The (un)reliability of saliency methods; book ch. 14.4"
    question = "Could somebody have made this method show whatever they like, the predictions being the same?"
    needs = frozenset({"gradients", "graph"})

    of: Attributing = Field(default="input_times_gradient", description="The method that is deceived, or is not.")  # type: ignore[assignment]  # validated from its name
    wanted: OwnInput | None = Field(
        default=None,
        description="The attribution that is to come out, as an input of the model "
        '(`{"image": ..}`, `{"tensor": ..}`, `{"digest": ..}`); by default a board of four by four.',
    )
    strength: float = Field(default=1.0, gt=0, le=1e6, description="What the wanted attribution is multiplied by.")
    clip: float | None = Field(
        default=None,
        gt=0,
        le=1e6,
        description="No value is shifted by more, so that the input can still be recognised: 0.3 in the seed.",
    )
    seed: Seed = 0

    def passes(self, at: Extent, /) -> int:
        return 2 * self.of.passes(at) + 3

    def refuse(self, model: Model) -> None:
        from workers.methods.nested import shifted_model
        from workers.methods.nested.attributions import refuse

        refuse(model, (self.of,))
        shifted_model.check(model)

    def explain(self, model: Model, batch: Batch) -> Attribution:
        import torch

        from workers.engine.model.batch import Batch
        from workers.methods.nested.attributions import attributions
        from workers.methods.nested.resources import Refitted
        from workers.methods.nested.shifted_model import pattern, shifted

        wanted = pattern(model, self.wanted or "checkerboard", self.strength, batch.resources, asked="wanted")
        targets = model.resolve(batch)
        scores, slopes = model.gradient(batch.x, targets)
        shift = wanted / torch.where(slopes == 0, 1, slopes) - batch.x
        flat = (slopes == 0) | (shift.abs() > REACH / torch.finfo(shift.dtype).eps)
        shift = torch.where(flat, 0, shift)
        shift = shift if self.clip is None else shift.clamp(-self.clip, self.clip)
        found, after = [], []
        for row in range(len(batch)):
            one = slice(row, row + 1)
            twin = shifted(model, shift[one])
            refitted = Refitted(batch.resources, shift[one])
            there = Batch(batch.x[one] + shift[one], targets[one], batch.seeds[one], batch.report, resources=refitted)
            found += attributions(twin, there, (self.of,))
            after += twin.scores(there.x, there.targets).tolist()
        arrays = {
            "attribution": torch.cat(found),
            "first": attributions(model, batch, (self.of,))[0],
            "shift": shift,
        }
        far = shift.abs().flatten(1).amax(1).tolist()
        lost = flat.flatten(1).sum(1).tolist()
        said = [{"out_of_reach": int(count), "largest_shift": most} for count, most in zip(lost, far, strict=True)]
        pairs = zip(scores.tolist(), after, strict=True)
        return Attribution(arrays, [(Check("same score", *pair),) for pair in pairs], said)
