"""The door: all that the service may import from the workers, torch-free."""

from workers import keys
from workers.app import publisher, ring
from workers.card import ImageSpec, InputSpec, ModelCard
from workers.catalogue import catalogue
from workers.cost import share
from workers.errors import (
    Cancelled,
    ExplainError,
    InputError,
    InputTooLarge,
    InternalError,
    InvalidImage,
    InvalidParameter,
    InvalidTarget,
    InvalidTensor,
    MethodNotApplicable,
    UnknownInput,
    UnknownMethod,
    UnknownModel,
    UnsupportedMedia,
    WorkError,
)
from workers.images import inspect
from workers.job import Job
from workers.method import Method, method_type, parse_method
from workers.scripts import source
from workers.target import Target, parse_targets
from workers.tensors import (
    as_float32,
    decode_npy,
    decode_safetensors,
    digest_image,
    digest_tensor,
    encode_npy,
    from_json,
)

__all__ = [
    "Cancelled",
    "ExplainError",
    "ImageSpec",
    "InputError",
    "InputSpec",
    "InputTooLarge",
    "InternalError",
    "InvalidImage",
    "InvalidParameter",
    "InvalidTarget",
    "InvalidTensor",
    "Job",
    "Method",
    "MethodNotApplicable",
    "ModelCard",
    "Target",
    "UnknownInput",
    "UnknownMethod",
    "UnknownModel",
    "UnsupportedMedia",
    "WorkError",
    "as_float32",
    "catalogue",
    "decode_npy",
    "decode_safetensors",
    "digest_image",
    "digest_tensor",
    "encode_npy",
    "from_json",
    "inspect",
    "keys",
    "method_type",
    "parse_method",
    "parse_targets",
    "publisher",
    "ring",
    "share",
    "source",
]
