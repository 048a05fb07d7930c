"""shap's KernelExplainer on the model `eight`, in process and over HTTP, of rows beside a background."""

import json
import sys
import time

import joblib
import numpy as np
import requests
import shap

model, rows, background, url = joblib.load(sys.argv[1]), np.load(sys.argv[2]), np.load(sys.argv[3]), sys.argv[4]
session, asked = requests.Session(), []


def served(x):
    tensor = {
        "name": "predict",
        "shape": list(x.shape),
        "datatype": "FP32",
        "data": np.asarray(x, float).ravel().tolist(),
    }
    asked.append(len(x))
    answer = session.post(f"{url}/infer", json={"inputs": [tensor]}, timeout=300)
    answer.raise_for_status()
    return np.asarray(answer.json()["outputs"][0]["data"])


here = shap.KernelExplainer(model.predict, background).shap_values(rows, silent=True)
far = shap.KernelExplainer(served, background)
asked.clear()
started = time.perf_counter()
there = far.shap_values(rows, silent=True)
seconds = time.perf_counter() - started
told = {"here": here.tolist(), "there": there.tolist(), "seconds": seconds, "requests": len(asked), "rows": sum(asked)}
print(json.dumps(told))
