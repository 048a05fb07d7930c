"""A model in a process of the servers' Python, asked over pipes: rows as .npy in, outputs as .npy out.

Called as `in_process.py FILE.joblib METHOD [NAME=VALUE,VALUE ...]`: the last are texts of columns, by their places.
"""

import io
import struct
import sys

import joblib
import numpy as np


def read(stream):
    size = stream.read(8)
    return None if len(size) < 8 else np.load(io.BytesIO(stream.read(struct.unpack("<q", size)[0])))


def main() -> None:
    model, method = joblib.load(sys.argv[1]), sys.argv[2]
    names = [part.partition("=") for part in sys.argv[3:]]

    def outputs(rows):
        if not names:
            return np.asarray(getattr(model, method)(rows), np.float64)
        import pandas as pd

        columns = {
            name: [words.split(",")[int(value)] for value in rows[:, at]] if words else rows[:, at]
            for at, (name, _, words) in enumerate(names)
        }
        return np.asarray(getattr(model, method)(pd.DataFrame(columns)), np.float64)

    while (rows := read(sys.stdin.buffer)) is not None:
        file = io.BytesIO()
        np.save(file, outputs(rows))
        sys.stdout.buffer.write(struct.pack("<q", len(file.getvalue())) + file.getvalue())
        sys.stdout.buffer.flush()


main()
