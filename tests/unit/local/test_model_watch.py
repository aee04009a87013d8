"""When a model counts as lost: its process has ended, or it fails or hangs; never because it is slow."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest

from avatar_service import clock
from avatar_service.local import model_watch
from avatar_service.local.model_watch import FAILING_PROBE_S, HUNG_S, PROBE_S, ModelWatch
from avatar_service.local.triton_models import State

MODEL = "musetalk"


@dataclass
class FakeModels:
    """Answers after `delay_s` what `states` say, and then that all is well."""

    states: list[State] = field(default_factory=list)
    delay_s: float = 0.01
    asked_at_s: list[float] = field(default_factory=list)

    async def state(self, model: str) -> State:
        """One answer."""
        self.asked_at_s.append(clock.now())
        await asyncio.sleep(self.delay_s)
        return self.states.pop(0) if self.states else State.ANSWERS

    async def load(self, model: str) -> bool:
        """Takes `delay_s`."""
        await asyncio.sleep(self.delay_s)
        return True


class Processes:
    """The processes of the model, as the kernel would show them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pids = {1}
        self.changed = asyncio.Event()
        monkeypatch.setattr(model_watch, "stubs", lambda server, model: frozenset(self.pids))
        monkeypatch.setattr(model_watch, "one_ended", self._one_ended)

    async def _one_ended(self, pids: Iterable[int]) -> None:
        while set(pids) <= self.pids:
            self.changed.clear()
            await self.changed.wait()

    def become(self, *pids: int) -> None:
        """These live from here on."""
        self.pids = set(pids)
        self.changed.set()


def watch(models: FakeModels) -> ModelWatch:
    fake: Any = models
    return ModelWatch(fake, server_pid=7)


async def lost_within(models: FakeModels, within_s: float) -> tuple[str, float]:
    """Why and when the model was lost; nothing if it was not."""
    began_s = clock.now()
    try:
        async with asyncio.timeout(within_s):
            return await watch(models).lost(MODEL), clock.now() - began_s
    except TimeoutError:
        return "", 0.0


async def test_the_end_of_its_process_is_noticed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    processes = Processes(monkeypatch)
    asyncio.get_running_loop().call_later(0.5, processes.become)
    why, at_s = await lost_within(FakeModels(), 10.0)
    assert (why, round(at_s, 1)) == ("ended", 0.5)


async def test_a_process_that_was_replaced_is_no_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody has loaded the model again; the end of the other process is one."""
    processes = Processes(monkeypatch)
    asyncio.get_running_loop().call_later(0.5, processes.become, 2)
    asyncio.get_running_loop().call_later(3.0, processes.become)
    why, at_s = await lost_within(FakeModels(), 10.0)
    assert (why, round(at_s, 1)) == ("ended", 3.0)


async def test_one_of_two_processes_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    processes = Processes(monkeypatch)
    processes.become(1, 2)
    asyncio.get_running_loop().call_later(0.5, processes.become, 2)
    why, at_s = await lost_within(FakeModels(), 10.0)
    assert (why, round(at_s, 1)) == ("ended", 0.5)


@pytest.mark.parametrize(
    ("states", "reason", "after_s"),
    [
        ([State.DEAD], "ended", FAILING_PROBE_S),
        ([State.ANSWERS, State.DEAD], "ended", FAILING_PROBE_S + PROBE_S[MODEL]),
        ([State.FAILS, State.FAILS], "fails", 2 * FAILING_PROBE_S),
        ([State.FAILS, State.ANSWERS, State.FAILS], "", 0.0),
        ([State.BUSY] * 100, "", 0.0),
    ],
    ids=["its process is gone from the first", "its process is gone", "twice in a row", "now and then", "busy"],
)
async def test_what_a_small_request_says(
    monkeypatch: pytest.MonkeyPatch, states: list[State], reason: str, after_s: float
) -> None:
    Processes(monkeypatch)
    why, at_s = await lost_within(FakeModels(states), 600.0)
    assert (why, round(at_s, 1)) == (reason, after_s)


@pytest.mark.parametrize(("delay_s", "reason"), [(HUNG_S - 1.0, ""), (HUNG_S + 1.0, "hangs")])
async def test_a_model_may_be_slow_as_long_as_it_answers_at_all(
    monkeypatch: pytest.MonkeyPatch, delay_s: float, reason: str
) -> None:
    Processes(monkeypatch)
    assert (await lost_within(FakeModels(delay_s=delay_s), 1_000.0))[0] == reason


async def test_a_sound_model_is_asked_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    Processes(monkeypatch)
    models = FakeModels()
    await lost_within(models, 60.0)
    assert len(models.asked_at_s) <= 1 + 60.0 / PROBE_S[MODEL]


async def test_a_load_that_does_not_end_has_failed() -> None:
    assert await watch(FakeModels()).load(MODEL)
    assert not await watch(FakeModels(delay_s=HUNG_S + 1.0)).load(MODEL)
