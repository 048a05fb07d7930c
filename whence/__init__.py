"""The client of Whence: explanations of what PyTorch models predict, as NumPy arrays.

    import whence

    seven = whence.Client("http://127.0.0.1:8000").explain("digits", "7.png", "lrp")
    seven.values, seven.prediction, seven.checks

It needs httpx, NumPy and rich: neither torch nor the service.
"""

from whence.async_client import AsyncClient
from whence.client import Client
from whence.collection import Collection
from whence.errors import Busy, Failed, NotFinished, Refused, Unreachable, WhenceError
from whence.explanation import AsyncExplanation, Explanation
from whence.values import Check, Picture, Prediction

__all__ = [
    "AsyncClient",
    "AsyncExplanation",
    "Busy",
    "Check",
    "Client",
    "Collection",
    "Explanation",
    "Failed",
    "NotFinished",
    "Picture",
    "Prediction",
    "Refused",
    "Unreachable",
    "WhenceError",
]
