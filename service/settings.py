"""Settings of the HTTP service, from environment variables that begin with WHENCE_."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 2**20


class Settings(BaseSettings):
    """Every field is the environment variable of the same name in capitals, with WHENCE_ before it."""

    model_config = SettingsConfigDict(env_prefix="WHENCE_", frozen=True)

    redis_url: str = Field(default="redis://localhost:6379/0", description="Redis of the jobs.")
    cache_url: str | None = Field(default=None, description="Redis of inputs and results; default: that of the jobs.")
    wait: float = Field(default=5.0, ge=0, description="Seconds that a request waits which names no preference.")
    longest_wait: float = Field(default=60.0, ge=0, description="Cap of Prefer: wait=N and of ?wait=, in seconds.")
    body_limit: int = Field(default=32 * MIB, gt=0, description="Largest request body, in bytes.")
    body_deadline: float = Field(default=30.0, gt=0, description="Seconds by which a request body must have arrived.")
    pixel_limit: int = Field(default=25_000_000, gt=0, description="Most pixels of an image, checked before decoding.")
    most_explanations: int = Field(default=100, gt=0, description="Most explanations that one request may ask for.")
    datasets: Path = Field(default=Path("datasets"), description="The folder of datasets; workers read the same one.")
    dataset_limit: int = Field(default=256 * MIB, gt=0, description="Largest upload of a dataset, in bytes.")
    dataset_deadline: float = Field(default=600.0, gt=0, description="Seconds by which such an upload must be there.")
    dataset_unpacked: int = Field(default=2048 * MIB, gt=0, description="Bytes that an upload may unpack to.")
    dataset_items: int = Field(default=100_000, gt=0, description="Most items of a dataset.")
    dataset_space: int = Field(default=16384 * MIB, gt=0, description="Bytes that uploads may take on disk together.")
    log_level: str = "INFO"
    log_json: bool = Field(default=True, description="Logs as JSON lines; else for people to read.")
