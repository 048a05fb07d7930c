"""The documents that clients read, for OpenAPI; what is sent is built in `documents` without them, for speed."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from service.explanations.item_schemas import Check, CollectionItem
from service.queue import status
from workers.contract import DatasetCard, ModelCard, State


class FieldError(BaseModel):
    pointer: str = Field(description="JSON pointer (RFC 6901) into the request, or the name of a query parameter.")
    detail: str


class Problem(BaseModel):
    """What went wrong (RFC 9457); `code` is stable."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[FieldError] | None = None
    alternatives: list[dict[str, Any]] | None = Field(
        default=None,
        description="Where a method is refused, what works on this model: parts of a request, {method} or {target}, to "
        "be put in place of its own.",
    )


class Prediction(BaseModel):
    """A class, or a number of a `value`; its score is the model's own output, summed over places where it has some."""

    index: int | list[int] | None = Field(description="Null where numbers of a value are reduced to one.")
    label: str | None = None
    score: float
    probability: float | None = Field(default=None, description="Of a class with places their mean; null of a value.")


class Explained(BaseModel):
    """The scalar that is explained, of whatever kind the target is."""

    score: float = Field(description="The target in the model's own output, or in its layer's.")
    probability: float | None = Field(description="Of a class; what score=probability explains.")


class Summary(BaseModel):
    """What an array holds; its numbers come as .npy and .safetensors, and as `data` with ?inline=true."""

    shape: list[int]
    dtype: str
    min: float
    max: float
    sum: float
    data: list[float] | None = Field(default=None, description="Row by row, only with ?inline=true.")


class ArrayAddress(BaseModel):
    """An array of a result: its numbers are at `npy`."""

    shape: list[int]
    dtype: str
    npy: str


class Timing(BaseModel):
    queued_ms: float
    computed_ms: float = Field(description="Of the whole batch.")
    batch_size: int


class ModelName(BaseModel):
    name: str
    digest: str


class Explanation(BaseModel):
    """A finished explanation."""

    id: str
    status: Literal["succeeded"]
    kind: str
    model: ModelName
    input: str | None = Field(description="The input's digest.")
    method: dict[str, Any] = Field(description="All parameters, defaults filled in.")
    target: dict[str, Any] | None = None
    prediction: list[Prediction] = Field(description="The five highest classes; of a value the number explained.")
    explained: Explained | None = Field(default=None, description="The target as a number; null without a target.")
    attribution: Summary | None = None
    attributions: dict[str, Summary] | None = Field(default=None, description="Of several inputs, by their names.")
    arrays: dict[str, ArrayAddress] = Field(description="Every array of the result, by name.")
    checks: list[Check]
    info: dict[str, Any]
    timing: Timing
    created_at: str | None
    items: list[CollectionItem] | None = Field(default=None, description="Of a collection, the first hundred.")
    links: dict[str, str]


class Progress(BaseModel):
    done: int
    total: int
    unit: str


class StatusDocument(BaseModel):
    """The state of an explanation that is not finished, or that failed."""

    id: str
    status: status.State
    model: str | None
    progress: Progress | None
    position: int | None = Field(description="How many wait before it.")
    reason: str | None = Field(default=None, description="Why it does not start: no worker lives that could do it.")
    created_at: str | None
    started_at: str | None
    finished_at: str | None
    deadline: str | None
    attempts: int
    error: Problem | None
    links: dict[str, str]


class Explanations(BaseModel):
    """Several explanations of one request, in the order of its methods and targets."""

    explanations: list[Explanation | StatusDocument]


class Listing(BaseModel):
    """A page of the list, the newest first; `links.next` is the page after it, where there is one."""

    explanations: list[StatusDocument]
    links: dict[str, str]


class Signature(BaseModel):
    """The operator's, over the seal: `key` is the SHA-256 of the public key, `value` 64 bytes in base64."""

    algorithm: Literal["ed25519"]
    key: str
    value: str


class Receipt(BaseModel):
    """What determines an explanation, and the digests of its arrays; `whence verify` computes it again and compares."""

    id: str
    job: dict[str, Any]
    versions: dict[str, str]
    device: str
    machine: dict[str, Any]
    computed_at: float
    sha256: dict[str, str]
    sketches: dict[str, dict[str, Any]]
    seal: str
    signature: Signature | None = Field(default=None, description="Where the operator signs receipts.")


class Claim(BaseModel):
    """What is said of a method, and where that is shown."""

    says: str
    shown: str = Field(description="The test or the page of Whence's repository that shows it.")
    seed: str = Field(description='Which line of which source says so, as "S4 l.4964"; empty where none does.')


class MethodDocument(BaseModel):
    """An explanation method."""

    name: str
    family: str
    kind: str
    question: str
    description: str
    citation: str
    needs: list[str]
    takes_input: bool
    precisions: list[str] = Field(description="What models may be computed in for it; the operator chooses.")
    cost: str
    inputs: str = Field(description="Which inputs it takes, in a few words.")
    promises: Claim = Field(description="What its theory or a reference promises, and the test that holds it to that.")
    fails: Claim = Field(description="Where it is known to mislead or to be refused.")
    revision: int
    parameters: dict[str, Any] = Field(description="JSON Schema (2020-12) of the method with its parameters.")
    links: dict[str, str]


class Methods(BaseModel):
    methods: list[MethodDocument]


class DatasetDocument(DatasetCard):
    """A dataset: how many items, what is known of them."""

    created_at: str  # type: ignore[assignment]  # shown as RFC 3339, kept as seconds
    links: dict[str, str]


class DatasetDocuments(BaseModel):
    datasets: list[DatasetDocument]


class LoadedOn(BaseModel):
    worker: str
    device: str | None
    digest: str
    bytes: int


class OnWorker(BaseModel):
    worker: str
    state: State
    digest: str | None
    reason: str | None


class ModelVersion(BaseModel):
    """A version that some worker computes: it is asked for as NAME@ and the first digits of its digest."""

    digest: str
    current: bool = Field(description="Whether the name alone stands for it.")
    state: Literal["ready", "leaving"]
    workers: int


class ModelStates(BaseModel):
    """A model without a card: one that is loading, cannot be served, is leaving, or is unloaded."""

    name: str
    state: State = Field(description="In sum: ready where any worker serves it.")
    reason: str | None = Field(
        description="Of a failure; of a ready model why what is in its folder now is not served."
    )
    memory: int = Field(description="Bytes of it in the workers' memory.")
    versions: list[ModelVersion]
    loaded: list[LoadedOn]
    workers: list[OnWorker]
    links: dict[str, str]


class ModelDocument(ModelCard):
    """A model: what it takes, what it gives, which methods can explain it and why not the others; and its states."""

    state: State
    reason: str | None
    classes: tuple[str, ...] = Field(description="The labels, by class index.")
    memory: int
    versions: list[ModelVersion]
    loaded: list[LoadedOn]
    workers: list[OnWorker]
    links: dict[str, str]


class Models(BaseModel):
    models: list[ModelDocument | ModelStates]


class Health(BaseModel):
    status: str


class Ready(BaseModel):
    status: str
    workers: int
    models: list[str]
    failed: dict[str, str]
