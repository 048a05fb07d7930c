"""MLServer's runtime of the digits, in the folder of its model."""

from pathlib import Path

import digits_net
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse


class Digits(MLModel):
    async def load(self):
        self.outputs_of = digits_net.loaded(Path(__file__).parent)
        return True

    async def predict(self, payload):
        rows = NumpyCodec.decode_input(payload.inputs[0])
        output = NumpyCodec.encode_output("logits", self.outputs_of(rows))
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=[output])
