"""Parameters that a model refuses by name: each is given to it once in the life of the process.

No rule could tell of models that are still to come, and the name of a deployment need not be its model's.
"""

from collections.abc import Collection

import openai

from avatar_service.log import get_logger

log = get_logger(__name__)

UNSUPPORTED = ("unsupported_parameter", "unsupported_value")
"""Codes of such a refusal."""
MODELS = 64
"""Models of which refusals are remembered."""


class RefusedParameters:
    """Remembers what each model refuses, of the parameters that it can be asked without."""

    def __init__(self, *refusable: str, codes: Collection[str] = UNSUPPORTED) -> None:
        """Without `codes` a refusal is known by the parameter that it names alone."""
        self._refusable = refusable
        self._codes = codes
        self._refused: dict[str, frozenset[str]] = {}

    def of(self, model: str) -> frozenset[str]:
        """What the model has refused so far."""
        return self._refused.get(model, frozenset())

    def learn(self, model: str, error: openai.APIStatusError) -> bool:
        """Whether `error` refuses a parameter that the model can be asked without, and was given until now."""
        param, refused = error.param, self.of(model)
        if error.status_code not in (400, 422) or (self._codes and error.code not in self._codes):
            return False
        if param is None or param not in self._refusable or param in refused:
            return False
        if len(self._refused) >= MODELS:  # names come from clients, so there may be any number
            self._refused.clear()
        self._refused[model] = refused | {param}
        log.info("model_refuses_parameters", refused=sorted(self._refused[model]))
        return True
