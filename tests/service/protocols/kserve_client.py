"""The requests that kserve's InferenceRESTClient makes, for where kserve is not installed.

kserve 0.21 needs psutil < 6, beside which the tests' own pins do not stand. Only what the documentation uses is here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

from tests.patience import PATIENCE_S


@dataclass
class RESTConfig:
    protocol: str


class InferenceRESTClient:
    """Of the V1 protocol."""

    def __init__(self, config: RESTConfig) -> None:
        assert config.protocol == "v1"
        self._client = httpx.AsyncClient(timeout=PATIENCE_S)

    async def infer(self, base_url: str, data: dict[str, Any], model_name: str) -> Any:
        return await self._post(f"{base_url}/v1/models/{model_name}:predict", data)

    async def explain(self, base_url: str, model_name: str, data: dict[str, Any]) -> Any:
        return await self._post(f"{base_url}/v1/models/{model_name}:explain", data)

    async def is_server_live(self, base_url: str) -> bool:
        status: str = (await self._client.get(base_url + "/")).json()["status"]
        return status.lower() == "alive"

    async def is_model_ready(self, base_url: str, model_name: str) -> bool:
        answer = await self._client.get(f"{base_url}/v1/models/{model_name}")
        return answer.status_code != httpx.codes.SERVICE_UNAVAILABLE and answer.raise_for_status().json()["ready"]

    async def close(self) -> None:
        await self._client.aclose()

    async def _post(self, url: str, data: dict[str, Any]) -> Any:
        return (await self._client.post(url, json=data)).raise_for_status().json()
