"""The door: all that the service may import from the workers, by room and torch-free; no modules, no scripts' texts."""

from workers.datasets.card import DatasetCard, Limits, check_fits
from workers.datasets.library import Datasets
from workers.explanation.bundle import File, FileKind, bundle, digest_inputs, unbundle
from workers.explanation.bundle import Kind as InputKind
from workers.explanation.card import FULL, OPEN, TOLERANCES, ImageSpec, InputSpec, ModelCard, Precision
from workers.explanation.errors import (
    Cancelled,
    ExplainError,
    InputError,
    InputTooLarge,
    InternalError,
    InvalidDataset,
    InvalidFolder,
    InvalidImage,
    InvalidParameter,
    InvalidTarget,
    InvalidTensor,
    InvalidText,
    MethodNotApplicable,
    UnknownDataset,
    UnknownInput,
    UnknownMethod,
    UnknownModel,
    UnsupportedMedia,
    WorkError,
)
from workers.explanation.file_types import describe_file
from workers.explanation.images.decoding import inspect
from workers.explanation.images.fitting import fit_of
from workers.explanation.inputs import at_sizes, fits, is_open, spoken
from workers.explanation.model_state import ModelState, State
from workers.explanation.names.dataset_classes import Classes, classes_in
from workers.explanation.names.references import own_datasets, own_inputs, with_datasets, with_models
from workers.explanation.names.spelling import meant
from workers.explanation.request_target import MAX_TARGETS, parse_targets
from workers.explanation.result import PREVIEW
from workers.explanation.table import check_row, row_of, rows_of_csv, rows_of_split
from workers.explanation.target import Target
from workers.explanation.tensors import (
    DTYPES,
    MOST_NUMBERS,
    as_float32,
    decode_npy,
    decode_safetensors,
    digest_image,
    digest_tensor,
    encode_npy,
    encode_safetensors,
    from_bfloat16,
    from_json,
)
from workers.explanation.text import MAX_CHARACTERS, decode_text, digest_text
from workers.jobs.blobs import SMALLEST, Objects, ObjectsAway
from workers.jobs.disk import no_room
from workers.jobs.doorbell import bell_message
from workers.jobs.fingerprints import comparable, distance, seal
from workers.jobs.job import Job, canonical_json
from workers.jobs.keys import BATCH, INTERACTIVE, PRIORITIES, RECORD_TTL_S, Priority
from workers.jobs.keys import EVENTS as EVENTS_CHANNEL
from workers.jobs.keys import INDEX as INDEX_KEY
from workers.jobs.keys import LOADS as LOADS_KEY
from workers.jobs.keys import OPEN as OPEN_KEY
from workers.jobs.keys import PACE as PACE_KEY
from workers.jobs.keys import PROBE as PROBE_KEY
from workers.jobs.keys import RELOADS as RELOADS_KEY
from workers.jobs.keys import UNLOADED as UNLOADED_KEY
from workers.jobs.keys import WEBHOOKS as WEBHOOKS_KEY
from workers.jobs.keys import WORKERS as WORKERS_KEY
from workers.jobs.keys import card as card_key
from workers.jobs.keys import depth as depth_key
from workers.jobs.keys import pace as pace_field
from workers.jobs.keys import partial as partial_key
from workers.jobs.keys import result as result_key
from workers.jobs.keys import states as states_key
from workers.jobs.keys import stored_input as input_key
from workers.jobs.keys import webhook as webhook_key
from workers.jobs.keys import worker as worker_key
from workers.jobs.profile import methods as methods_name
from workers.jobs.profile import needs
from workers.jobs.redis_address import WrongAddress, async_client, check_start, checked_redis_url
from workers.jobs.refusals import refuses_writes
from workers.jobs.scripts import async_script
from workers.jobs.signatures import KeyFileRefused, is_signed_by, key_name, new_key, public_key
from workers.jobs.stored_results import blobs_of
from workers.methods.catalogue import catalogue
from workers.methods.claims import Claim, claims, inputs
from workers.methods.cost import PASS_S, cheaper, passes, rows_per_batch
from workers.methods.extent import Extent
from workers.methods.method import Method, method_type, parse_method
from workers.models.sent import check_sent
from workers.telemetry.log import adopt as adopt_log
from workers.telemetry.log import configure as configure_log
from workers.telemetry.tracing import SERVER, NoTracing, span
from workers.telemetry.tracing import carried as traceparent
from workers.telemetry.tracing import start as start_tracing
from workers.telemetry.tracing import stop as stop_tracing

# datasets
__all__ = [
    "DatasetCard",
    "Datasets",
    "Limits",
    "check_fits",
]
# explanation
__all__ += [
    "DTYPES",
    "FULL",
    "MAX_CHARACTERS",
    "MAX_TARGETS",
    "MOST_NUMBERS",
    "OPEN",
    "PREVIEW",
    "TOLERANCES",
    "Cancelled",
    "Classes",
    "ExplainError",
    "File",
    "FileKind",
    "ImageSpec",
    "InputError",
    "InputKind",
    "InputSpec",
    "InputTooLarge",
    "InternalError",
    "InvalidDataset",
    "InvalidFolder",
    "InvalidImage",
    "InvalidParameter",
    "InvalidTarget",
    "InvalidTensor",
    "InvalidText",
    "MethodNotApplicable",
    "ModelCard",
    "ModelState",
    "Precision",
    "State",
    "Target",
    "UnknownDataset",
    "UnknownInput",
    "UnknownMethod",
    "UnknownModel",
    "UnsupportedMedia",
    "WorkError",
    "as_float32",
    "at_sizes",
    "bundle",
    "check_row",
    "classes_in",
    "decode_npy",
    "decode_safetensors",
    "decode_text",
    "describe_file",
    "digest_image",
    "digest_inputs",
    "digest_tensor",
    "digest_text",
    "encode_npy",
    "encode_safetensors",
    "fit_of",
    "fits",
    "from_bfloat16",
    "from_json",
    "inspect",
    "is_open",
    "meant",
    "own_datasets",
    "own_inputs",
    "parse_targets",
    "row_of",
    "rows_of_csv",
    "rows_of_split",
    "spoken",
    "unbundle",
    "with_datasets",
    "with_models",
]
# jobs
__all__ += [
    "BATCH",
    "EVENTS_CHANNEL",
    "INDEX_KEY",
    "INTERACTIVE",
    "LOADS_KEY",
    "OPEN_KEY",
    "PACE_KEY",
    "PRIORITIES",
    "PROBE_KEY",
    "RECORD_TTL_S",
    "RELOADS_KEY",
    "SMALLEST",
    "UNLOADED_KEY",
    "WEBHOOKS_KEY",
    "WORKERS_KEY",
    "Job",
    "KeyFileRefused",
    "Objects",
    "ObjectsAway",
    "Priority",
    "WrongAddress",
    "async_client",
    "async_script",
    "bell_message",
    "blobs_of",
    "canonical_json",
    "card_key",
    "check_start",
    "checked_redis_url",
    "comparable",
    "depth_key",
    "distance",
    "input_key",
    "is_signed_by",
    "key_name",
    "methods_name",
    "needs",
    "new_key",
    "no_room",
    "pace_field",
    "partial_key",
    "public_key",
    "refuses_writes",
    "result_key",
    "seal",
    "states_key",
    "webhook_key",
    "worker_key",
]
# methods
__all__ += [
    "PASS_S",
    "Claim",
    "Extent",
    "Method",
    "catalogue",
    "cheaper",
    "claims",
    "inputs",
    "method_type",
    "parse_method",
    "passes",
    "rows_per_batch",
]
# models
__all__ += ["check_sent"]
# telemetry
__all__ += ["SERVER", "NoTracing", "adopt_log", "configure_log", "span", "start_tracing", "stop_tracing", "traceparent"]
