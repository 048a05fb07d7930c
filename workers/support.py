"""Which methods a model supports: asked of each method when the model is loaded, and told on its card."""

from __future__ import annotations

from pydantic import ValidationError

from workers.card import MethodSupport, ModelCard
from workers.catalogue import catalogue, parse_method
from workers.engine.embeddings import check_walk
from workers.engine.model import Model
from workers.faults import told


def with_support(model: Model) -> ModelCard:
    """The model's card with, for each method, whether it works with default parameters, and why not."""
    return model.card.model_copy(update={"methods": tuple(support(model, name) for name in catalogue())})


def support(model: Model, name: str) -> MethodSupport:
    """What a method says of this model before any work; one that cannot do without a parameter says nothing yet."""
    try:
        method = parse_method(name)
        check_walk(model.folded, method)
        method.refuse(model)
    except ValidationError:
        return MethodSupport(name=name, supported=True)
    except Exception as error:  # a fault in one method must not keep the model from being served
        return MethodSupport(name=name, supported=False, reason=told(error).detail)
    return MethodSupport(name=name, supported=True)
