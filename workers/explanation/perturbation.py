"""The parameters that perturbation methods have in common, and the names of the baselines. Torch-free."""

from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from workers.explanation.names.references import DatasetName, InputDigest

Cut: TypeAlias = Literal["slic", "quickshift", "grid", "word", "token"]
Segments = Annotated[
    Cut | None,
    Field(
        description="How the input is cut: slic or quickshift superpixels of an image, or a regular grid (windows "
        "along time, blocks of a volume, each feature of a flat input); a text by word or by token, but for "
        "those that its tokenizer adds, and images beside it by slic. By default slic for images, word for texts, "
        "token for ids, else grid."
    ),
]
SegmentCount = Annotated[
    int,
    Field(
        ge=2,
        le=2000,
        description="How many segments slic and grid aim at; quickshift finds its own number, and the features of a "
        "flat input are one segment each.",
    ),
]
NoiseOf: TypeAlias = Literal["range", "std"]
SHARE_OF = (
    "What the standard deviation of Gaussian noise is a share of: the width of the input's range (the row's own where "
    "the card gives none), or the standard deviation of the input's own values."
)
FillValue = Annotated[float, Field(description="The value of a constant fill.")]
Score = Annotated[
    Literal["logit", "probability"],
    Field(
        description="Watch the model's own output, or the probability of the target's class: the softmax of logits, "
        "the sigmoid of a binary or multilabel output, a probability as it is, the mean over a segmentation's places."
    ),
]


def _as_sent(schema: dict[str, Any]) -> None:
    """What clients send in place of a digest, too."""
    schema["properties"] = {
        "image": {"type": "string", "maxLength": 2**30, "description": "The bytes of an image file, in base64."},
        "tensor": {"type": "object", "maxProperties": 3, "description": "{shape, data, dtype}, as an input has it."},
        **schema["properties"],
    }
    schema |= {"minProperties": 1, "maxProperties": 1}
    schema.pop("required", None)


class OwnInput(BaseModel):
    """An input of one's own as a parameter: sent as an input is, and known by its digest from then on."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=_as_sent)

    digest: InputDigest


class DatasetMean(BaseModel):
    """The mean of a dataset's items, as the model takes them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: DatasetName
    mean: Literal[True] = Field(description="The mean over all items, place by place.")


BaselineKind: TypeAlias = Literal[
    "zero", "minimum", "constant", "mean", "blur", "uniform", "background", "white", "pad", "mask"
]
PerChannel: TypeAlias = Annotated[tuple[float, ...], Field(min_length=1, max_length=4096)]
KINDS = ", ".join(get_args(BaselineKind))


def _baseline(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """One sentence for what is none of the forms, where pydantic has one for each."""
    try:
        return handler(value)
    except ValidationError:
        raise ValueError(
            f"one of {KINDS}; or a list of one number a channel; or an input of one's own, {{image}}, {{tensor}} or "
            '{digest}; or {dataset, "mean": true}'
        ) from None


Baseline: TypeAlias = Annotated[BaselineKind | PerChannel | OwnInput | DatasetMean, WrapValidator(_baseline)]
DESCRIPTION = (
    "The input that stands for absence: zero of the model's own input, minimum of its range (black) or its maximum "
    "(white), a constant, each channel's mean, a blurred copy, uniform noise over the range, or the rows of a table's "
    "background: games, occlusion and prediction_difference average the score over them, and what fills once takes "
    "their mean, of a category the most frequent; of a text what its embedding has for padding (pad), or for a hidden "
    "token (mask). Or numbers of one's own: one for each channel, an input sent as any "
    'is (`{"image": ..}`, `{"tensor": ..}`, `{"digest": ..}`), the mean of a dataset (`{"dataset": .., "mean": true}`).'
)
