"""How much a metric of the process has grown since the test began to look."""

from avatar_service import metrics


class Growth:
    """Remembers every sample; `growth("avatar_turns_total", outcome="failed")` is how much one has grown since."""

    def __init__(self) -> None:
        self._before = _samples()

    def __call__(self, name: str, **labels: str) -> float:
        key = (name, frozenset(labels.items()))
        return _samples().get(key, 0.0) - self._before.get(key, 0.0)

    def of_all(self, name: str) -> dict[tuple[str, ...], float]:
        """Everything of one name that has grown, by the values of its labels in the order of their names."""
        now = _samples()
        grown = {
            tuple(value for _, value in sorted(labels)): amount - self._before.get((each, labels), 0.0)
            for (each, labels), amount in now.items()
            if each == name
        }
        return {values: amount for values, amount in grown.items() if amount}


def _samples() -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in metrics.REGISTRY.collect()
        for sample in family.samples
    }
