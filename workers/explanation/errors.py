"""Everything that can go wrong with an explanation, as one tree; each leaf has a stable `code`.

ExplainError
├── InputError                 the client's input or request is wrong
│   ├── InvalidImage           bytes that are no readable image
│   ├── InvalidTensor          bytes or numbers that are no tensor the model takes
│   ├── InvalidText            bytes that are no text, or a text of no words
│   ├── InputTooLarge          more bytes, pixels or values than allowed
│   ├── UnsupportedMedia       a media type that is neither image nor tensor
│   ├── UnknownInput           a digest that names no stored input
│   ├── UnknownMethod          a method name that is not in the catalogue
│   ├── UnknownModel           a model name that no worker serves
│   ├── InvalidParameter       a parameter out of its range
│   │   └── UnknownDataset     a dataset that is not here, by digest or by name
│   ├── InvalidDataset         an upload that is no dataset, or a dataset that the model cannot take
│   ├── InvalidTarget          a target that the model does not have
│   └── MethodNotApplicable    this method cannot explain this model: names the node and the reason
├── ModelError                 a model's folder is wrong (an operator's fault)
│   ├── InvalidFolder          card.toml or a file it names is missing or wrong
│   ├── PredictorAway          the server that the card names does not say what it serves
│   └── PickledPayload         the archive carries something that only unpickling could read
└── WorkError                  the work itself went wrong
    ├── NotFinite              the attribution holds NaN or infinity
    ├── RevisionNotServed      no worker has the method as it was asked for
    ├── ModelNotServed         no worker has the version of the model that it was asked of
    ├── ModelAway              this worker has it no more; the job goes back, for another
    ├── OutOfMemory            the smallest batch does not fit the device
    ├── DeadlineExceeded       the work could not start in time, and was dropped unrun
    ├── Cancelled              withdrawn by everyone who waited for it
    ├── PredictorError         the server that computes the model
    │   ├── PredictorUnavailable   gives no answer in time, or none but that it is busy
    │   ├── PredictorFailed        answers with an error, or with what are no outputs
    │   └── PredictorChanged       serves another model than the one that was loaded
    ├── WorkerCrashed          workers died on it, as often as allowed
    └── InternalError          a fault of ours; the log has the details
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True)
class Instead:
    """What may be asked in place of what is refused: advice that is told only where the model supports it.

    A method by its name with these parameters; without a name the refused method, these parameters changed; or another
    target, as clients write it.
    """

    method: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    target: Any = None


def methods(*names: str) -> tuple[Instead, ...]:
    """Other methods, with the parameters that they have by default."""
    return tuple(Instead(name) for name in names)


ANY_FUNCTION = methods("gradient", "integrated_gradients", "smooth_grad", "occlusion")  # that need no rule for a node


class ExplainError(Exception):
    """An explanation that could not be given: `code` is stable, `detail` is a sentence for people.

    `instead` is what might be asked, which a worker tries on the model; what works becomes part of the detail, and
    `alternatives`: parts of a request, {"method": ...} or {"target": ...}, to be put in place of its own.
    """

    code: ClassVar[str] = "explain_error"

    def __init__(
        self,
        detail: str,
        *,
        pointer: str | None = None,
        instead: Sequence[Instead] = (),
        alternatives: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.pointer = pointer
        self.instead = tuple(instead)
        self.alternatives = tuple(alternatives)
        self.about: Any = None  # the method that raised it, until its pointer says so


class InputError(ExplainError):
    code = "invalid_request"


class InvalidImage(InputError):
    code = "invalid_image"


class InvalidTensor(InputError):
    code = "invalid_tensor"


class InvalidText(InputError):
    code = "invalid_text"


class InputTooLarge(InputError):
    code = "input_too_large"


class UnsupportedMedia(InputError):
    code = "unsupported_media_type"


class UnknownInput(InputError):
    code = "unknown_input"


class UnknownMethod(InputError):
    code = "unknown_method"


class UnknownModel(InputError):
    code = "unknown_model"


class InvalidParameter(InputError):
    code = "invalid_parameter"


class UnknownDataset(InvalidParameter):
    code = "unknown_dataset"


class InvalidDataset(InputError):
    code = "invalid_dataset"


class InvalidTarget(InputError):
    code = "invalid_target"


class MethodNotApplicable(InputError):
    code = "method_not_applicable"


class ModelError(ExplainError):
    code = "invalid_model"


class InvalidFolder(ModelError):
    code = "invalid_model_folder"


class PredictorAway(ModelError):
    code = "predictor_away"


class PickledPayload(ModelError):
    code = "pickled_payload"


class WorkError(ExplainError):
    code = "work_failed"


class NotFinite(WorkError):
    code = "not_finite"


class RevisionNotServed(WorkError):
    """The job's id is of a revision of its method that no worker here has."""

    code = "revision_not_served"


class ModelNotServed(WorkError):
    """The job is of a version of its model that no worker has any more."""

    code = "model_not_served"


class ModelAway(WorkError):
    """This worker has the version of the model no more; another may."""

    code = "model_not_served"


class OutOfMemory(WorkError):
    code = "out_of_memory"


class DeadlineExceeded(WorkError):
    code = "deadline_exceeded"


class Cancelled(WorkError):
    code = "cancelled"


class PredictorError(WorkError):
    code = "predictor_error"


class PredictorUnavailable(PredictorError):
    """`slow` where a request was taken and not answered in time: made again, it would take as long."""

    code = "predictor_unavailable"

    def __init__(self, detail: str, *, slow: bool = False) -> None:
        super().__init__(detail)
        self.slow = slow


class PredictorFailed(PredictorError):
    """`refused` where the server found the request itself wrong: too large, it may be."""

    code = "predictor_failed"

    def __init__(self, detail: str, *, refused: bool = False) -> None:
        super().__init__(detail)
        self.refused = refused


class PredictorChanged(PredictorError):
    code = "predictor_changed"


class WorkerCrashed(WorkError):
    code = "worker_crashed"


class ResultStoreFull(WorkError):
    """The explanation was made, and its result found no room."""

    code = "result_store_full"


class ResultStoreAway(WorkError):
    """The explanation was made, and its result could not be kept: no answer, or no writes are taken there."""

    code = "result_store_unavailable"


class InternalError(WorkError):
    code = "internal_error"
