"""What an operator may set for a worker, from environment variables that start with WHENCE_."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

from pydantic import ByteSize, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from workers.explanation.card import FULL, Precision
from workers.jobs.blobs import SMALLEST


class SettingRefused(RuntimeError):
    """This machine cannot do what a setting says; the sentence says what it can."""


class Settings(BaseSettings):
    """The worker's settings; the field `redis_url` is read from WHENCE_REDIS_URL, and so on."""

    model_config = SettingsConfigDict(env_prefix="WHENCE_", frozen=True)

    redis_url: str = Field(default="redis://localhost:6379/0", description="Jobs, inputs and the broker's queues.")
    cache_url: str | None = Field(default=None, description="Results; the same Redis as the jobs where not given.")
    models: Path = Field(default=Path("models"), description="The folder whose folders are models.")
    serves: str = Field(default="*", description="Patterns of names, with commas: the models to serve of those.")
    model_unpacked: ByteSize = Field(default=ByteSize(16 * 2**30), description="Bytes that a model sent may unpack to.")
    datasets: Path = Field(default=Path("datasets"), description="The folder of datasets; the API writes the same one.")
    device: str = Field(default="auto", description='"cpu", "cuda", "cuda:1"; "auto" takes CUDA where there is one.')
    precision: Precision = Field(
        default=FULL, description="float32; tf32 (CUDA) or bfloat16 besides it, for methods that bear it."
    )
    cuda_graphs: bool = Field(
        default=False, description="On a GPU, record passes of sizes that come again, and launch each as one."
    )
    workers: int = Field(default=1, ge=1, description="How many workers share this machine's cores.")
    threads: int | None = Field(default=None, ge=1, description="Torch threads; default: cores / workers.")
    queues: str = Field(default="interactive,batch", description="Celery queues to serve, comma-separated.")
    model_memory: ByteSize = Field(default=ByteSize(4 * 2**30), description="Bytes of models to keep loaded.")
    result_ttl: int = Field(default=7 * 86400, ge=1, description="Seconds that a result is kept.")
    receipt_key: Path | None = Field(
        default=None, description="An Ed25519 private key in PEM, without a password, that receipts are signed with."
    )
    time_limit: int = Field(default=300, ge=1, description="Seconds that one batch may compute.")
    fit_limit: int = Field(default=3600, ge=1, description="Seconds that what takes no input may compute.")
    objects: str | None = Field(
        default=None, description="Folder or fsspec URL for what is too large for Redis; the API uses the same one."
    )
    objects_from: ByteSize = Field(default=ByteSize(SMALLEST), description="Bytes from which an array lies there.")
    objects_space: ByteSize = Field(default=ByteSize(4 * 2**30), description="Bytes that may lie there.")
    load_limit: int = Field(default=300, ge=1, description="Seconds that reading one model's folder may take.")
    input_ttl: int = Field(default=3600, ge=1, description="Seconds that an input is kept after its last use.")
    log_level: str = "INFO"
    log_json: bool = Field(default=True, description="Logs as JSON lines; else for people to read.")
    metrics_host: str = Field(default="127.0.0.1", description="Address to serve Prometheus metrics on.")
    metrics_port: int | None = Field(default=None, ge=1, le=65535, description="Its port; default: not served.")
    traces: bool = Field(default=False, description="OpenTelemetry traces, sent where OTEL_EXPORTER_OTLP_* say.")

    @cached_property
    def torch_threads(self) -> int:
        return self.threads or max(1, len(os.sched_getaffinity(0)) // self.workers)
