"""The fields of a request: one model, methods, targets and an input, checked as far as no model is needed."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema, field_validator, model_validator

from service.http.bodies import MOST_PARTS
from service.http.errors import Invalid
from service.http.json_text import check_fields
from service.http.pointers import pointers
from workers.contract import DTYPES, MAX_CHARACTERS, MAX_TARGETS, MOST_NUMBERS

DIGEST = "sha256:" + "0" * 64
LONGEST_NAME = 1000  # of a class
MOST_COLUMNS = 10_000
MOST_ITEMS = 10**9
MOST_FIELDS = 20  # twice as many as any object of a request has

TARGET_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "integer", "minimum": 0, "description": "A class index, or that of a number of a value."},
        {
            "type": "string",
            "maxLength": LONGEST_NAME,
            "description": 'A class name, "argmax", or "value" for a value of one number.',
        },
        {
            "type": "object",
            "maxProperties": 2,
            "description": "{rank}, {top_k}, {class}, {class, mask}, {layer, channel}, {layer, token}, {layer, index}, "
            "{output, index} "
            "(the axes of a layer are in the model's card); of a value of several numbers {index}, or "
            '{reduce: "sum" | "mean"}.',
        },
        {
            "type": "array",
            "maxItems": MAX_TARGETS,
            "items": {"type": ["integer", "string", "object"], "maxLength": LONGEST_NAME, "maxProperties": 2},
            "description": "Several targets, none of them a list: an explanation each.",
        },
    ],
    "default": "argmax",
}
TENSOR_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "The model's own input, already preprocessed: the values in one list row by row, or nested.",
    "required": ["shape", "data"],
    "additionalProperties": False,
    "properties": {
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}, "maxItems": 8},
        "dtype": {"enum": list(DTYPES), "default": "float32"},
        "data": {"type": "array", "maxItems": MOST_NUMBERS, "items": {}},
    },
}


class InputField(BaseModel):
    """The input: exactly one of an image, a tensor, a row of a table, a text, the digest of a stored one, a dataset."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "oneOf": [{"required": [name]} for name in ("image", "tensor", "table", "text", "digest", "dataset")]
        },
    )

    image: str | None = Field(
        default=None,
        max_length=2**30,
        description="The bytes of a file, in base64, with or without a data: URL, line ends and padding.",
    )
    tensor: Annotated[dict[str, Any] | None, WithJsonSchema(TENSOR_SCHEMA)] = None
    table: dict[str, Any] | None = Field(
        default=None,
        max_length=MOST_COLUMNS,
        description="A row of a table: a value by the name of each column, or pandas' split, {columns, data}.",
        examples=[{"age": 39, "job": "clerk"}, {"columns": ["age", "job"], "data": [[39, "clerk"]]}],
    )
    text: str | None = Field(
        default=None, max_length=MAX_CHARACTERS, description="What a model of texts makes tokens of."
    )
    digest: str | None = Field(default=None, pattern="^sha256:[0-9a-f]{64}$", examples=[DIGEST])
    dataset: str | None = Field(
        default=None, min_length=1, max_length=128, description="Many inputs in one job: a dataset's digest or name."
    )
    items: list[Annotated[int, Field(ge=0, le=MOST_ITEMS)]] | None = Field(
        default=None,
        min_length=2,
        max_length=2,
        description="Of a dataset, the first item and the first of those left out; without it all.",
        examples=[[0, 1000]],
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (
            sum(one is not None for one in (self.image, self.tensor, self.table, self.text, self.digest, self.dataset))
            != 1
        ):
            raise ValueError("an input is exactly one of image, tensor, table, text, digest and dataset")
        if self.items is not None and (self.dataset is None or not 0 <= self.items[0] < self.items[1]):
            raise ValueError("items are those of a dataset: [from, to], from 0 on, of which the last is left out")
        return self


class WebhookField(BaseModel):
    """Where to tell of an explanation once it is final, as Standard Webhooks say."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(
        max_length=2000,
        description="A https address; what is sent there is signed.",
        examples=["https://example.org/hook"],
    )


class ExplanationRequest(BaseModel):
    """A request to explain what a model says of one input; several methods or targets are one explanation each."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    model: str = Field(
        max_length=300, description="Name of a model; GET /api/v1/models lists them.", examples=["digits"]
    )
    method: Any = Field(
        default=None, description="One method or a list, by name or with parameters; default: the model's own."
    )
    target: Annotated[Any, WithJsonSchema(TARGET_SCHEMA)] = Field(default="argmax", description="What to explain.")
    input: InputField | None = None
    inputs: dict[Annotated[str, Field(max_length=LONGEST_NAME)], InputField] | None = Field(
        default=None, max_length=MOST_PARTS, description="The inputs by the names that the model's card gives them."
    )
    webhook: WebhookField | None = None

    @field_validator("input", mode="before")
    @classmethod
    def _of_one(cls, given: Any) -> Any:
        if isinstance(given, list):
            raise ValueError(
                "one request explains one input; many are a dataset: POST /api/v1/datasets answers its digest, and "
                '{"dataset": DIGEST} is then the input'
            )
        return given

    @property
    def many(self) -> bool:
        """Whether the answer is a list: the form of the request decides, not how many explanations came of it."""
        several_targets = isinstance(self.target, list) or (isinstance(self.target, dict) and "top_k" in self.target)
        return isinstance(self.method, list) or several_targets


def parse_request(fields: Mapping[str, Any]) -> ExplanationRequest:
    """Raises Invalid, with a pointer for each fault."""
    given = {name: one for name, one in fields.items() if one is not None}  # null is what is not there
    check_fields(given, "", MOST_FIELDS)
    if isinstance(given.get("input"), Mapping) and given["input"].keys() == {"inputs"} and "inputs" not in given:
        given = {**given, "input": None, "inputs": given["input"]["inputs"]}
    for name, most in (("input", MOST_FIELDS), ("inputs", MOST_PARTS), ("webhook", MOST_FIELDS)):
        check_fields(given.get(name), f"/{name}", most)
    for name, one in given["inputs"].items() if isinstance(given.get("inputs"), Mapping) else ():
        check_fields(one, f"/inputs/{name}", MOST_FIELDS)
    try:
        return ExplanationRequest.model_validate(given)
    except ValidationError as error:
        errors = error.errors(include_input=False, include_url=False)
        raise Invalid(pointers(errors, raw=given, kind=ExplanationRequest)) from None
