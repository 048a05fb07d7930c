"""The door: all that the service may import from the workers, torch-free."""

from workers import keys, log, tracing
from workers.app import publisher, ring
from workers.card import ImageSpec, InputSpec, ModelCard
from workers.catalogue import catalogue
from workers.cost import PASS_S, cheaper, passes, share
from workers.dataset_card import DatasetCard, Limits, check_fits
from workers.datasets import Datasets
from workers.errors import (
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
from workers.extent import Extent
from workers.images import inspect
from workers.job import Job, canonical_json
from workers.method import Method, method_type, parse_method, with_datasets, with_models
from workers.objects import SMALLEST, Objects
from workers.proof import comparable, distance, seal
from workers.redis_url import WrongAddress, async_client, check_start, checked
from workers.request_target import MAX_TARGETS, parse_targets
from workers.result import PREVIEW
from workers.results import places_of
from workers.scripts import source
from workers.signing import KeyFileRefused, is_signed_by, name_of, new_key, public_key
from workers.sniffed import told
from workers.target import Target
from workers.tensors import (
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
from workers.worn_out import worn_out

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
