"""LitServe with Captum and its dynamic batching: `python -m benchmarks.lit_handler PORT`."""

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import litserve
from fastapi import Body
from starlette.responses import Response

from benchmarks.captum_side import NPY, explainers

BATCH = {"gradient": 16, "integrated_gradients": 16}
WAIT_S = 0.01  # for a batch to fill
Picture = Annotated[bytes, Body(media_type="application/octet-stream")]


class Explainer(litserve.LitAPI):  # type: ignore[misc]
    """One method at an address of its own, on pictures that wait together."""

    def __init__(self, method: str) -> None:
        super().__init__(max_batch_size=BATCH[method], batch_timeout=WAIT_S, api_path=f"/{method}")
        self.method = method

    def setup(self, _: Any) -> None:
        self.explain = explainers()[self.method]

    # LitServe reads this annotation, and no text of it: so this file defers none.
    def decode_request(self, request: Picture) -> bytes:
        return request

    def batch(self, inputs: Sequence[bytes]) -> Sequence[bytes]:
        return inputs

    def predict(self, files: Sequence[bytes]) -> list[bytes]:
        return self.explain(files)

    def unbatch(self, output: list[bytes]) -> list[bytes]:
        return output

    def encode_response(self, output: bytes) -> Response:
        return Response(output, media_type=NPY)


if __name__ == "__main__":
    server = litserve.LitServer([Explainer(name) for name in BATCH], accelerator="cpu", timeout=False)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
