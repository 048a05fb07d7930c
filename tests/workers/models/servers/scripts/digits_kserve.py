"""KServe's own Python server with the digits, by its v1 and by Open Inference: `digits_kserve.py FOLDER PORT`."""

import sys

import digits_net
import kserve
import numpy as np
from kserve import InferOutput, InferRequest, InferResponse


class Digits(kserve.Model):
    def __init__(self, folder):
        super().__init__("digits")
        self.outputs_of, self.ready = digits_net.loaded(folder), True

    def predict(self, payload, headers=None, response_headers=None):
        if not isinstance(payload, InferRequest):
            return {"predictions": self.outputs_of(np.asarray(payload["instances"], np.float32)).tolist()}
        values = self.outputs_of(payload.inputs[0].as_numpy())
        output = InferOutput("logits", list(values.shape), "FP32")
        output.set_data_from_numpy(values, binary_data=payload.use_binary_outputs)
        return InferResponse(
            payload.id or "0", self.name, [output], model_version="1", use_binary_outputs=payload.use_binary_outputs,
            requested_outputs=payload.request_outputs,
        )  # fmt: skip


if __name__ == "__main__":
    server = kserve.ModelServer(http_port=int(sys.argv[2]), enable_grpc=False)
    server.start([Digits(sys.argv[1])])
