"""An example of each document that the API answers with, for OpenAPI."""

from typing import Any

from service.explanations.documents import result_document, status_document
from service.http.addresses import API, DATASETS
from service.queue.status import Progress, Status

KEY = "5f" * 32
DIGEST = "sha256:" + "7e" * 32
TIME = 1_767_225_600.0
LAYER = {"name": "conv1", "op": "conv2d", "shape": [16, 28, 28], "aliases": []}
METHOD = {"name": "gradient", "reduce": "none"}

_META: dict[str, Any] = {
    "id": KEY,
    "kind": "attribution",
    "model": {"name": "digits", "digest": DIGEST},
    "input": DIGEST,
    "method": METHOD,
    "target": {"kind": "class", "index": 7, "label": "7"},
    "prediction": [{"index": 7, "label": "7", "score": 14.25, "probability": 0.9998}],
    "explained": {"score": 14.25, "probability": 0.9998},
    "attribution": {"shape": [1, 28, 28], "dtype": "float32", "min": -0.5, "max": 1.25, "sum": 3.5},
    "arrays": {"attribution": {"shape": [1, 28, 28], "dtype": "float32"}},
    "checks": [{"name": "completeness", "expected": 3.5, "observed": 3.51, "gap": 0.003}],
    "info": {},
    "timing": {"queued_ms": 1.5, "computed_ms": 4.0, "batch_size": 1},
    "created_at": TIME,
}
_EXPLANATION = result_document(_META)
_STATUS = status_document(
    Status(
        id=KEY,
        status="running",
        model="digits",
        progress=Progress(done=20, total=50, unit="steps"),
        created_at=TIME,
        started_at=TIME + 0.25,
        attempts=1,
    )
)
_METHOD = {
    "name": "gradient",
    "family": "gradient",
    "kind": "attribution",
    "question": "To which input features is the output most sensitive?",
    "description": "The derivative of the target by each input value.",
    "citation": "Simonyan, Vedaldi and Zisserman 2014",
    "needs": ["gradients"],
    "takes_input": True,
    "precisions": ["float32", "tf32", "bfloat16"],
    "cost": "one pass",
    "inputs": "any, and several by name",
    "promises": {
        "says": "is the finite difference",
        "shown": "tests/workers/methods/gradient/test_gradient_family.py::test_gradient_is_the_finite_difference",
        "seed": "",
    },
    "fails": {
        "says": "noise: a net's gradient is shattered where its value is not",
        "shown": "reproductions/continuity.md",
        "seed": "S4 l.3478",
    },
    "revision": 1,
    "parameters": {"type": "object", "properties": {"name": {"const": "gradient"}}},
    "links": {"self": f"{API}/methods/gradient"},
}
_IMAGE = {"mode": "L", "resize": [28, 28], "scale": 1.0, "mean": [0.0], "std": [1.0]}
_MODEL = {
    "name": "digits",
    "digest": DIGEST,
    "output": "logits",
    "input": {"kind": "image", "shape": [1, 28, 28], "image": _IMAGE},
    "outputs": [2],
    "labels": ["0", "1"],
    "default_method": "integrated_gradients",
    "accuracy": 0.994,
    "layers": [LAYER],
    "methods": [{"name": "gradient", "supported": True, "reason": None}],
    "classes": ["0", "1"],
    "state": "ready",
    "reason": None,
    "memory": 165_000,
    "versions": [{"digest": DIGEST, "current": True, "state": "ready", "workers": 1}],
    "loaded": [{"worker": "host-1", "device": "cpu", "digest": DIGEST, "bytes": 165_000}],
    "workers": [],
    "links": {"self": f"{API}/models/digits", "explain": f"{API}/explanations?model=digits"},
}
_DATASET = {
    "digest": DIGEST,
    "name": None,
    "kind": "images",
    "count": 200,
    "shape": None,
    "classes": ["cat", "dog"],
    "concepts": 0,
    "categories": 0,
    "boxes": False,
    "series": 0,
    "bytes": 4_194_304,
    "created_at": "2026-01-01T00:00:00.000Z",
    "links": {"self": f"{DATASETS}/{DIGEST}"},
}
_JOB = {"model": DIGEST, "input": DIGEST, "target": {"kind": "class", "index": 7}, "method": METHOD, "revisions": [1]}

# By the name of the document's schema.
_ITEM = {
    "index": 17,
    "id": _EXPLANATION["id"],
    "status": "succeeded",
    "label": {"index": 7, "label": "seven"},
    "prediction": {"index": 7, "label": "seven", "score": 14.2, "probability": 0.998},
    "target": {"index": 7, "label": "seven"},
    "explained": 14.2,
    "checks": [{"name": "completeness", "expected": 14.2, "observed": 14.1, "gap": 0.007}],
    "error": None,
    "links": {"self": f"/api/v1/explanations/{_EXPLANATION['id']}"},
}

EXAMPLES: dict[str, Any] = {
    "CollectionItems": {
        "count": 1000,
        "items": [_ITEM],
        "links": {"self": f"/api/v1/explanations/{'c' * 64}/items?start=17&limit=1&sort=index"},
    },
    "DatasetDocument": _DATASET,
    "DatasetDocuments": {"datasets": [_DATASET]},
    "Explanation": _EXPLANATION,
    "Explanations": {"explanations": [_EXPLANATION, _STATUS]},
    "Health": {"status": "alive"},
    "Listing": {"explanations": [_STATUS], "links": {"self": f"{API}/explanations"}},
    "MethodDocument": _METHOD,
    "Methods": {"methods": [_METHOD]},
    "ModelDocument": _MODEL,
    "Models": {"models": [_MODEL]},
    "Ready": {"status": "ready", "workers": 1, "models": ["digits"], "failed": {}},
    "Receipt": {
        "id": KEY,
        "job": _JOB,
        "versions": {"whence": "0.2.0", "torch": "2.13.0", "python": "3.11.7"},
        "device": "cpu",
        "machine": {"name": "a processor", "instructions": "AVX2", "threads": 4, "batch_size": 1, "chunk": 16},
        "computed_at": 1763640000.25,
        "sha256": {"attribution": "7e" * 32},
        "sketches": {"attribution": {"shape": [1, 8, 8], "norm": 2.5, "sums": [0.25] * 16}},
        "seal": "5a" * 32,
    },
    "StatusDocument": _STATUS,
}
