"""A small convolutional network for 28 x 28 digits: three convolutions with ReLU, then one linear layer."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn


def build() -> nn.Module:
    """The network without its weights: (n, 1, 28, 28), black 0 and white 1, to ten logits."""
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 24, 3, padding=1),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(24, 48, 3, padding=1),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            conv3=nn.Conv2d(48, 64, 3, padding=1),
            relu3=nn.ReLU(),
            flatten=nn.Flatten(),
            linear=nn.Linear(64 * 7 * 7, 10),
        )
    )
