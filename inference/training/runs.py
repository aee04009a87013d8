"""A resumable training run: steps until a time budget is spent, with its state on disk every two minutes."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

SAVE_EVERY_S = 120.0
LOG_EVERY_STEPS = 100
EMA_DECAY = 0.998

# One step: a generator seeded by the step's number, and the share of the budget that is spent, 0..1. Returns the loss.
Step = Callable[[np.random.Generator, float], Tensor]


@dataclass(frozen=True, slots=True)
class Schedule:
    """Budget and learning rate of a run; the rate falls along a cosine and rises over the first steps."""

    budget_s: float
    first_rate: float
    last_rate: float
    warm_up_steps: int = 100

    def scaled(self, share: float) -> "Schedule":
        """The same schedule with its first rate lowered: trained weights are to be adapted, not thrown away."""
        return replace(self, first_rate=share * self.first_rate)

    def rate(self, step: int, spent: float) -> float:
        """Learning rate at a step when this share of the budget is spent."""
        cosine = 0.5 + 0.5 * float(np.cos(np.pi * min(1.0, spent)))
        return (self.last_rate + (self.first_rate - self.last_rate) * cosine) * min(
            1.0, (step + 1) / self.warm_up_steps
        )


@dataclass(frozen=True, slots=True)
class Start:
    """Trained weights to go on from, a folder as ``export`` writes it, and the share of the learning rate for them."""

    folder: Path
    rate: float = 0.5


class Run:
    """Owns a network's optimiser, its moving average and the checkpoint file."""

    def __init__(self, name: str, network: nn.Module, schedule: Schedule, folder: Path, seed: int = 0) -> None:
        """Continue from ``folder/name.pt`` where it exists."""
        self.name, self.network, self.schedule = name, network, schedule
        self.average = {key: value.detach().clone() for key, value in network.state_dict().items()}
        self.steps, self.seconds = 0, 0.0
        self._path, self._seed = folder / f"{name}.pt", seed
        self._optimiser = torch.optim.AdamW(
            network.parameters(), lr=schedule.first_rate, betas=(0.9, 0.99), weight_decay=1e-4
        )
        if self._path.exists():
            self._load()

    def train(self, step: Step) -> None:
        """Run steps until the budget, if any, is spent, then save. Interrupted, it loses two minutes at most."""
        saved = started = time.monotonic()
        before, losses = self.seconds, []
        while self.schedule.budget_s > 0 and (spent := self.seconds / self.schedule.budget_s) < 1.0:
            losses.append(self._advance(step, spent))
            now = time.monotonic()
            self.seconds = before + now - started
            if self.steps % LOG_EVERY_STEPS == 0:
                print(f"{self.name} step {self.steps} {self.seconds:.0f} s loss {np.mean(losses):.4f}", flush=True)  # noqa: T201 - progress of a command
                losses.clear()
            if now - saved > SAVE_EVERY_S:
                self.save()
                saved = now
        self.save()

    def use_average(self) -> None:
        """Give the network its averaged weights, for export and measuring."""
        self.network.load_state_dict(self.average)

    def save(self) -> None:
        """Write the checkpoint, all or nothing."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        state: dict[str, Any] = {
            "network": self.network.state_dict(),
            "average": self.average,
            "optimiser": self._optimiser.state_dict(),
            "steps": self.steps,
            "seconds": self.seconds,
        }
        temporary = self._path.with_suffix(".new")
        torch.save(state, temporary)
        temporary.replace(self._path)

    def _load(self) -> None:
        state = torch.load(self._path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.average, self.steps, self.seconds = state["average"], state["steps"], state["seconds"]

    def _advance(self, step: Step, spent: float) -> float:
        rate = self.schedule.rate(self.steps, spent)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        loss = step(np.random.default_rng([self._seed, self.steps]), spent)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own annotation is missing
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self._optimiser.step()
        self.steps += 1
        self._follow()
        return float(loss.detach())

    def _follow(self) -> None:
        decay = min(EMA_DECAY, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            for key, value in self.network.state_dict().items():
                self.average[key].lerp_(value, 1 - decay) if value.is_floating_point() else self.average[key].copy_(
                    value
                )
