"""How much a metric of the process has grown since the test began to look, and how busy the process was meanwhile."""

import asyncio

from avatar_service import metrics

LAG_EACH_S = 0.005
OPEN_METRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
"""What Prometheus says that it accepts where it keeps exemplars."""


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


class Lag:
    """How much later than asked the loop wakes its tasks: by so much more anything in this process may take."""

    def __init__(self) -> None:
        self.longest_s = 0.0

    async def measure(self) -> None:
        """Until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + LAG_EACH_S
            await asyncio.sleep(LAG_EACH_S)
            self.longest_s = max(self.longest_s, loop.time() - due_s)
