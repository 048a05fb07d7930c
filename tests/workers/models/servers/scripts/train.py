"""Models for the servers, and their data; run by the servers' own Python, in the folder to write to."""

import json
from pathlib import Path

import joblib
import mlflow
import numpy as np
import pandas as pd
import xgboost
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

RNG = np.random.default_rng(0)


def place(name: str, runtime: str, version: str) -> Path:
    """The folder of a model of MLServer's."""
    path = Path("mlserver", name)
    path.mkdir(parents=True, exist_ok=True)
    uri = "model.json" if "xgboost" in runtime else "model.joblib"
    told = {"name": name, "implementation": runtime, "parameters": {"uri": f"./{uri}", "version": version}}
    (path / "model-settings.json").write_text(json.dumps(told))
    return path / uri


def eight() -> None:
    """A regression on eight columns, some of which act together."""
    x = RNG.normal(size=(600, 8)).astype(np.float32)
    y = x[:, 0] * x[:, 1] + np.sin(x[:, 2]) + (x[:, 3] > 0) * x[:, 4] + 0.1 * x[:, 5]
    model = xgboost.XGBRegressor(n_estimators=60, max_depth=4).fit(x, y)
    model.save_model(place("eight", "mlserver_xgboost.XGBoostModel", "v7"))
    joblib.dump(model, "eight.joblib")
    np.save("eight.npy", x)


def digits() -> None:
    """Digits of 8 by 8."""
    x, y = load_digits(return_X_y=True)
    model = MLPClassifier((32,), random_state=0, max_iter=40).fit(x / 16, y)
    joblib.dump(model, place("digits", "mlserver_sklearn.SKLearnModel", "2"))
    joblib.dump(model, "digits.joblib")
    np.save("digits.npy", (x / 16).astype(np.float32))


def jobs() -> None:
    """A pipeline that takes a data frame with texts in it."""
    x = pd.DataFrame(
        {
            "age": RNG.integers(18, 80, 500),
            "hours": RNG.normal(40, 8, 500).round(1),
            "job": RNG.choice(["clerk", "nurse", "smith"], 500),
            "city": RNG.choice(["north", "south"], 500),
        }
    )
    encode = make_column_transformer((OneHotEncoder(), ["job", "city"]), (StandardScaler(), ["age", "hours"]))
    y = ((x["age"] > 40) ^ (x["job"] == "smith")).astype(int)
    model = make_pipeline(encode, LogisticRegression()).fit(x, y)
    joblib.dump(model, place("jobs", "mlserver_sklearn.SKLearnModel", "1"))
    joblib.dump(model, "jobs.joblib")
    x.to_csv("jobs.csv", index=False)
    signature = mlflow.models.infer_signature(x, model.predict_proba(x))
    mlflow.sklearn.save_model(model, "mlflow", pyfunc_predict_fn="predict_proba", signature=signature)


eight()
digits()
jobs()
