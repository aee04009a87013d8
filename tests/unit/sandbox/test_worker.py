"""A worker: one model in one thread, with bounded work that can be cancelled."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

import pytest

from avatar_service.sandbox.worker import Cancelled, Worker, WorkerBusy, WorkerClosed, WorkerTimeout

PATIENCE_S = 5.0

Emit = Callable[[int], None]


@asynccontextmanager
async def running(load: Callable[[], str] = lambda: "model", capacity: int = 4) -> AsyncIterator[Worker[str]]:
    worker = Worker("test", load, capacity=capacity)
    worker.start()
    try:
        yield worker
    finally:
        assert await worker.aclose(PATIENCE_S)


class Gate:
    """Work that says when it began and goes on until it is cancelled."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.ended = threading.Event()

    def __call__(self, model: str, cancelled: Cancelled) -> None:
        self.began.set()
        while not cancelled():
            self.ended.wait(0.001)
        self.ended.set()


async def wait_for(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, PATIENCE_S)


def count_forever(reached: list[int]) -> Callable[[str, Cancelled, Emit], None]:
    def work(model: str, cancelled: Cancelled, emit: Emit) -> None:
        while not cancelled():
            reached.append(len(reached))
            emit(reached[-1])

    return work


def test_work_gets_the_model_in_one_thread_of_its_own() -> None:
    async def scenario() -> None:
        async with running() as worker:
            first = await worker.run(lambda model, _: (model, threading.get_ident()), deadline_s=PATIENCE_S)
            second = await worker.run(lambda model, _: (model, threading.get_ident()), deadline_s=PATIENCE_S)
            assert first == second
            assert first[0] == "model"
            assert first[1] != threading.get_ident()

    asyncio.run(scenario())


def test_work_waits_for_the_model_to_load() -> None:
    async def scenario() -> None:
        may_load = threading.Event()

        def load() -> str:
            assert may_load.wait(PATIENCE_S)
            return "model"

        async with running(load) as worker, asyncio.TaskGroup() as tasks:
            result = tasks.create_task(worker.run(lambda model, _: model, deadline_s=PATIENCE_S))
            assert not worker.is_loaded
            may_load.set()
            await worker.loaded()
            assert await result == "model"

    asyncio.run(scenario())


def test_a_model_that_does_not_load_fails_loaded_and_refuses_work() -> None:
    async def scenario() -> None:
        def load() -> str:
            raise OSError("no weights")

        async with running(load) as worker:
            with pytest.raises(OSError, match="no weights"):
                await worker.loaded()
            with pytest.raises(WorkerClosed):
                await worker.run(lambda model, _: model, deadline_s=PATIENCE_S)

    asyncio.run(scenario())


def test_what_work_raises_reaches_the_caller_and_the_thread_lives_on() -> None:
    async def scenario() -> None:
        async with running() as worker:
            with pytest.raises(ZeroDivisionError):
                await worker.run(lambda model, _: 1 // 0, deadline_s=PATIENCE_S)
            assert await worker.run(lambda model, _: 7, deadline_s=PATIENCE_S) == 7

    asyncio.run(scenario())


def test_one_task_more_than_may_wait_is_refused() -> None:
    async def scenario() -> None:
        gate = Gate()
        async with running(capacity=1) as worker, asyncio.TaskGroup() as tasks:
            busy = tasks.create_task(worker.run(gate, deadline_s=PATIENCE_S))
            await wait_for(gate.began)
            waiting = tasks.create_task(worker.run(lambda model, _: model, deadline_s=PATIENCE_S))
            await asyncio.sleep(0)
            with pytest.raises(WorkerBusy):
                await worker.run(lambda model, _: model, deadline_s=PATIENCE_S)
            busy.cancel()
            assert await waiting == "model"

    asyncio.run(scenario())


def test_a_caller_that_stops_waiting_cancels_its_task_and_frees_its_place() -> None:
    async def scenario() -> None:
        gate = Gate()
        never = threading.Event()
        async with running(capacity=1) as worker, asyncio.TaskGroup() as tasks:
            busy = tasks.create_task(worker.run(gate, deadline_s=PATIENCE_S))
            await wait_for(gate.began)
            waiting = tasks.create_task(worker.run(lambda model, _: never.set(), deadline_s=PATIENCE_S))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
            replacement = tasks.create_task(worker.run(lambda model, _: model, deadline_s=PATIENCE_S))
            await asyncio.sleep(0)
            busy.cancel()
            assert await replacement == "model"
            await wait_for(gate.ended)
            assert not never.is_set()

    asyncio.run(scenario())


def test_work_past_its_deadline_is_cancelled() -> None:
    async def scenario() -> None:
        gate = Gate()
        async with running() as worker:
            with pytest.raises(WorkerTimeout, match="test"):
                await worker.run(gate, deadline_s=0.01)
            await wait_for(gate.ended)

    asyncio.run(scenario())


def test_a_stream_yields_items_in_order_and_raises_what_ended_it() -> None:
    async def scenario() -> None:
        def work(model: str, cancelled: Cancelled, emit: Emit) -> None:
            for number in range(5):
                emit(number)
            raise ValueError("the end")

        async with running() as worker:
            items = worker.stream(work, capacity=2, deadline_s=PATIENCE_S)
            assert [await anext(items) for _ in range(5)] == [0, 1, 2, 3, 4]
            with pytest.raises(ValueError, match="the end"):
                await anext(items)

    asyncio.run(scenario())


def test_a_stream_is_at_most_its_capacity_ahead_of_its_reader() -> None:
    async def scenario() -> None:
        reached: list[int] = []
        async with (
            running() as worker,
            aclosing(worker.stream(count_forever(reached), capacity=3, deadline_s=PATIENCE_S)) as items,
        ):
            for expected in range(20):
                assert await anext(items) == expected
                # The reader holds `expected`; three more may lie in the channel and one in the hand that waits.
                assert len(reached) <= expected + 1 + 3 + 1

    asyncio.run(scenario())


def test_a_reader_that_leaves_stops_the_stream() -> None:
    async def scenario() -> None:
        reached: list[int] = []
        async with running() as worker:
            async with aclosing(worker.stream(count_forever(reached), capacity=2, deadline_s=PATIENCE_S)) as items:
                await anext(items)
            # The next task runs only after the stream's own has ended.
            assert await worker.run(lambda model, _: model, deadline_s=PATIENCE_S) == "model"

    asyncio.run(scenario())


def test_a_stream_without_output_ends_at_its_deadline() -> None:
    async def scenario() -> None:
        def work(model: str, cancelled: Cancelled, emit: Emit) -> None:
            Gate()(model, cancelled)

        async with running() as worker:
            with pytest.raises(WorkerTimeout):
                await anext(worker.stream(work, capacity=1, deadline_s=0.01))

    asyncio.run(scenario())


def test_close_cancels_what_runs_rejects_what_waits_and_joins_the_thread() -> None:
    async def scenario() -> None:
        gate = Gate()
        never = threading.Event()
        worker = Worker("closing", lambda: "model", capacity=4)
        worker.start()
        async with asyncio.TaskGroup() as tasks:
            runs = tasks.create_task(worker.run(gate, deadline_s=PATIENCE_S))
            await wait_for(gate.began)

            async def refused() -> None:
                with pytest.raises(WorkerClosed):
                    await worker.run(lambda model, _: never.set(), deadline_s=PATIENCE_S)

            tasks.create_task(refused())
            await asyncio.sleep(0)
            assert await worker.aclose(PATIENCE_S)
            await runs
        assert gate.ended.is_set()
        assert not never.is_set()
        assert not [thread for thread in threading.enumerate() if thread.name == "sandbox-closing"]
        with pytest.raises(WorkerClosed):
            await worker.run(lambda model, _: model, deadline_s=PATIENCE_S)

    asyncio.run(scenario())


def test_close_reports_native_code_that_does_not_come_back() -> None:
    async def scenario() -> None:
        stuck, release = threading.Event(), threading.Event()

        def work(model: str, cancelled: Cancelled) -> None:
            stuck.set()
            release.wait(PATIENCE_S)

        worker = Worker("stuck", lambda: "model", capacity=1)
        worker.start()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(worker.run(work, deadline_s=PATIENCE_S))
            await wait_for(stuck)
            assert not await worker.aclose(0.01)
            release.set()
        assert await worker.aclose(PATIENCE_S)

    asyncio.run(scenario())


def test_a_worker_that_never_started_closes_at_once() -> None:
    worker = Worker("unstarted", lambda: "model", capacity=1)
    assert asyncio.run(worker.aclose(0.0))
