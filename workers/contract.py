"""The door: all that the service may import from the workers, torch-free."""

from workers.datasets.card import DatasetCard, Limits, check_fits
from workers.datasets.library import Datasets
from workers.explanation.card import ImageSpec, InputSpec, ModelCard
from workers.explanation.errors import (
    Cancelled,
    ExplainError,
    InputError,
    InputTooLarge,
    InternalError,
    InvalidDataset,
    InvalidImage,
    InvalidParameter,
    InvalidTarget,
    InvalidTensor,
    MethodNotApplicable,
    UnknownDataset,
    UnknownInput,
    UnknownMethod,
    UnknownModel,
    UnsupportedMedia,
    WorkError,
)
from workers.explanation.file_types import told
from workers.explanation.images.decoding import inspect
from workers.explanation.request_target import MAX_TARGETS, parse_targets
from workers.explanation.result import PREVIEW
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
from workers.jobs import keys
from workers.jobs.blobs import SMALLEST, Objects
from workers.jobs.connection import worn_out
from workers.jobs.doorbell import publisher, ring
from workers.jobs.fingerprints import comparable, distance, seal
from workers.jobs.job import Job, canonical_json
from workers.jobs.redis_address import WrongAddress, async_client, check_start, checked
from workers.jobs.scripts import source
from workers.jobs.signatures import KeyFileRefused, is_signed_by, name_of, new_key, public_key
from workers.jobs.stored_results import places_of
from workers.methods.catalogue import catalogue
from workers.methods.cost import PASS_S, cheaper, passes, share
from workers.methods.extent import Extent
from workers.methods.method import Method, method_type, parse_method, with_datasets, with_models
from workers.telemetry import log, tracing

__all__ = [
    "DTYPES",
    "MAX_TARGETS",
    "MOST_NUMBERS",
    "PASS_S",
    "PREVIEW",
    "SMALLEST",
    "Cancelled",
    "DatasetCard",
    "Datasets",
    "ExplainError",
    "Extent",
    "ImageSpec",
    "InputError",
    "InputSpec",
    "InputTooLarge",
    "InternalError",
    "InvalidDataset",
    "InvalidImage",
    "InvalidParameter",
    "InvalidTarget",
    "InvalidTensor",
    "Job",
    "KeyFileRefused",
    "Limits",
    "Method",
    "MethodNotApplicable",
    "ModelCard",
    "Objects",
    "Target",
    "UnknownDataset",
    "UnknownInput",
    "UnknownMethod",
    "UnknownModel",
    "UnsupportedMedia",
    "WorkError",
    "WrongAddress",
    "as_float32",
    "async_client",
    "canonical_json",
    "catalogue",
    "cheaper",
    "check_fits",
    "check_start",
    "checked",
    "comparable",
    "decode_npy",
    "decode_safetensors",
    "digest_image",
    "digest_tensor",
    "distance",
    "encode_npy",
    "encode_safetensors",
    "from_bfloat16",
    "from_json",
    "inspect",
    "is_signed_by",
    "keys",
    "log",
    "method_type",
    "name_of",
    "new_key",
    "parse_method",
    "parse_targets",
    "passes",
    "places_of",
    "public_key",
    "publisher",
    "ring",
    "seal",
    "share",
    "source",
    "told",
    "tracing",
    "with_datasets",
    "with_models",
    "worn_out",
]
