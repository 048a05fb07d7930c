"""Settings of the HTTP service, from environment variables that begin with WHENCE_."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from workers.contract import FULL, SMALLEST, Precision

MIB = 2**20
MOST_EXPLANATIONS = 10_000  # of a request, whatever the setting is


class Settings(BaseSettings):
    """Every field is the environment variable of the same name in capitals, with WHENCE_ before it."""

    model_config = SettingsConfigDict(env_prefix="WHENCE_", frozen=True)

    redis_url: str = Field(default="redis://localhost:6379/0", description="Redis of the jobs.")
    cache_url: str | None = Field(default=None, description="Redis of inputs and results; default: that of the jobs.")
    wait: float = Field(default=5.0, ge=0, description="Seconds that a request waits which names no preference.")
    longest_wait: float = Field(default=60.0, ge=0, description="Cap of Prefer: wait=N and of ?wait=, in seconds.")
    protocol_wait: float = Field(
        default=50.0, ge=0, description="Seconds that a call of KServe's, Triton's or TorchServe's protocol waits."
    )
    body_limit: int = Field(default=32 * MIB, gt=0, description="Largest request body, in bytes.")
    body_deadline: float = Field(default=30.0, gt=0, description="Seconds by which a request body must have arrived.")
    pixel_limit: int = Field(
        default=25_000_000,
        gt=0,
        description="Most pixels of an image, checked before decoding; fewer where decoding costs more.",
    )
    most_explanations: int = Field(
        default=100, gt=0, le=MOST_EXPLANATIONS, description="Most explanations that one request may ask for."
    )
    datasets: Path = Field(default=Path("datasets"), description="The folder of datasets; workers read the same one.")
    dataset_limit: int = Field(default=256 * MIB, gt=0, description="Largest upload of a dataset, in bytes.")
    dataset_deadline: float = Field(default=600.0, gt=0, description="Seconds by which such an upload must be there.")
    dataset_unpacked: int = Field(default=2048 * MIB, gt=0, description="Bytes that an upload may unpack to.")
    dataset_items: int = Field(default=100_000, gt=0, description="Most items of a dataset.")
    dataset_space: int = Field(default=16384 * MIB, gt=0, description="Bytes that uploads may take on disk together.")
    model_limit: int = Field(default=4096 * MIB, gt=0, description="Largest model that is sent, in bytes.")
    model_deadline: float = Field(default=600.0, gt=0, description="Seconds by which such a model must be there.")
    model_unpacked: int = Field(default=16384 * MIB, gt=0, description="Bytes that a model sent may unpack to.")
    precision: Precision = Field(
        default=FULL, description="What models are computed in; its workers have the same setting."
    )
    required_models: str = Field(
        default="",
        description="Models without which an API is not ready, with commas; default: all of the folder.",
    )
    objects: str | None = Field(
        default=None, description="Folder or fsspec URL for what is too large for Redis; workers use the same one."
    )
    objects_from: int = Field(default=SMALLEST, gt=0, description="Bytes from which an input lies there.")
    input_ttl: int = Field(default=3600, gt=0, description="Seconds that an input is kept after its last use.")
    input_space: int = Field(default=1024 * MIB, gt=0, description="Bytes of inputs that Redis may hold.")
    queue_jobs: int = Field(default=10_000, gt=0, description="Most jobs that wait of a priority.")
    queue_caller: int = Field(default=5000, gt=0, description="Most of them of one caller.")
    queue_group: int = Field(default=5000, gt=0, description="Most of them of one model, method and parameters.")
    queue_wait: float = Field(default=300.0, gt=0, description="Seconds that new work may be expected to wait.")
    batch_wait: float = Field(default=86400.0, gt=0, description="The same of batch.")
    bulk_cost: float = Field(default=30.0, gt=0, description="Seconds of work from which an explanation is batch.")
    cost_limit: float = Field(
        default=1e10, gt=0, description="Most that an explanation may cost: passes through the model x input elements."
    )
    keys: Path | None = Field(default=None, description="The file of API keys; without it everyone may ask.")
    quota_rate: float | None = Field(default=None, gt=0, description="Seconds of work that a key earns in a second.")
    quota_burst: float = Field(default=600.0, gt=0, description="Most of such seconds that it may have saved.")
    webhook_secret: SecretStr | None = Field(
        default=None,
        description="Secret that webhooks are signed with, at least 24 characters; without it none is sent.",
    )
    webhook_inside: bool = Field(default=False, description="Webhooks may go to http and to private addresses too.")
    webhook_hosts: str = Field(default="", description="Hosts that webhooks may go to, with commas; default: any.")
    cors_origins: str = Field(default="", description="Origins whose pages may call, with commas; * is any.")
    hosts: str = Field(default="", description="Names that the Host header may have, with commas; default: any.")
    log_level: str = "INFO"
    log_json: bool = Field(default=True, description="Logs as JSON lines; else for people to read.")
    traces: bool = Field(default=False, description="OpenTelemetry traces, sent where OTEL_EXPORTER_OTLP_* say.")

    @property
    def required(self) -> list[str]:
        """The names of the required models."""
        return [name.strip() for name in self.required_models.split(",") if name.strip()]
