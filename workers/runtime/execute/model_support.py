"""Which methods a model supports, with which parameters, for which target."""

from __future__ import annotations

from pydantic import ValidationError

from workers.engine.model.function import Function
from workers.explanation.card import MethodSupport, ModelCard
from workers.explanation.errors import ExplainError
from workers.explanation.target import Target
from workers.methods.catalogue import catalogue, parse_method
from workers.methods.method import Method
from workers.runtime.execute.alternatives import advised, refuse
from workers.runtime.execute.faults import client_error


def with_support(model: Function) -> ModelCard:
    """The model's card with, for each method, whether it works with default parameters, and why not."""
    return model.published.model_copy(update={"methods": tuple(support(model, name) for name in catalogue())})


def support(model: Function, name: str) -> MethodSupport:
    """What a method says of this model before any work; one that cannot do without a parameter says nothing yet."""
    try:
        check(model, parse_method(name))
    except ValidationError:
        return MethodSupport(name=name, supported=True)
    except Exception as error:  # a fault in one method must not keep the model from being served
        why = client_error(error)
        return MethodSupport(
            name=name, supported=False, reason=why.detail, alternatives=tuple(map(dict, why.alternatives))
        )
    return MethodSupport(name=name, supported=True)


def check(model: Function, method: Method, target: Target | None = None) -> None:
    """Raise, with advice that holds, where the method as it is configured cannot explain this target of the model."""
    try:
        refuse(model.towards(target), method)
    except ExplainError as error:
        raise advised(error, model, method, target) from None
