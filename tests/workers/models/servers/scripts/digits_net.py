"""Whence's own digits as a function of arrays, for a server's Python, which finds torch where TORCH_AT says."""

import os
import sys

import numpy as np

sys.path.append(os.environ["TORCH_AT"])  # behind the server's own packages


def loaded(folder):
    import torch
    from safetensors.torch import load_file

    sys.path.insert(0, str(folder))
    import net

    module = net.build().eval()
    module.load_state_dict(load_file(f"{folder}/weights.safetensors"))

    def outputs(rows):
        with torch.no_grad():
            return module(torch.from_numpy(np.ascontiguousarray(rows, np.float32))).numpy()

    return outputs
