"""Sessions that are kept up to date in a store, and taken over from there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

import pytest

from avatar_service import clock
from avatar_service.errors import NotFound, SessionHeld, SessionTakenOver, StoreUnavailable
from avatar_service.events import Notice, Source
from avatar_service.media.heard import SpokenWord
from avatar_service.session.keeper import LOOK_EVERY_S, Held, Keeper
from avatar_service.session.saved import SavedSession, SavedTurn
from avatar_service.session.sessions import Sessions
from avatar_service.session.stores.base import LEASE_S, RENEW_EVERY_S, STORE_WITHIN_S, new_session_id, new_token
from tests.fakes.session_store import FakeSessionStore
from tests.scenario import Recording


def words_of(session: SavedSession | None) -> tuple[SpokenWord, ...]:
    return session.turn.words if session and session.turn else ()


@dataclass
class Stream:
    """A stream that holds a session, as the service has it."""

    sessions: Sessions
    held: Held
    session: SavedSession = field(default_factory=SavedSession)
    recording: Recording = field(default_factory=Recording)
    keeper: Keeper = field(init=False)
    ended_s: float | None = None
    """When it was taken over."""

    def __post_init__(self) -> None:
        self.session = self.held.saved or self.session
        self.keeper = Keeper(self.sessions.store, self.held, lambda: self.session, self.is_behind, self.recording)

    async def run(self) -> None:
        async with self.sessions.holding(self.keeper):
            await self.keeper.save()
            try:
                await self.keeper.run()
            except SessionTakenOver:
                self.ended_s = clock.now()
                raise

    def is_behind(self, saved: SavedSession | None) -> bool:
        return words_of(saved) != words_of(self.session)

    def becomes(self, last_turn_id: int) -> None:
        self.session = replace(self.session, last_turn_id=last_turn_id)

    @property
    def reasons(self) -> list[str]:
        return [notice.reason for notice in self.recording.all(Notice)]


@asynccontextmanager
async def broken_off_at_the_end(stream: Stream) -> AsyncIterator[Stream]:
    """Run a stream; at the end its client vanishes."""
    task = asyncio.create_task(stream.run())
    await asyncio.sleep(0)
    try:
        yield stream
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, SessionTakenOver):
            await task


def opened(store: FakeSessionStore | None = None) -> Stream:
    sessions = Sessions(store or FakeSessionStore())
    return Stream(sessions, sessions.begin(new_session_id()))


async def refused(sessions: Sessions, token: str) -> NotFound:
    with pytest.raises(NotFound) as error:
        await sessions.resume(token)
    return error.value


async def test_a_stream_that_breaks_leaves_what_its_session_had_become() -> None:
    async with broken_off_at_the_end(opened()) as stream:
        stream.becomes(last_turn_id=3)
    held = await stream.sessions.resume(stream.held.token)
    assert held.saved == SavedSession(last_turn_id=3)
    assert held.hold.session_id == stream.held.hold.session_id


async def test_a_process_that_dies_leaves_what_was_saved_a_second_ago() -> None:
    stream = opened()
    async with broken_off_at_the_end(stream):
        stream.becomes(last_turn_id=3)
        await asyncio.sleep(RENEW_EVERY_S + 0.1)
        elsewhere = Sessions(stream.sessions.store)
        assert (await elsewhere.resume(stream.held.token)).saved == SavedSession(last_turn_id=3)


async def test_a_session_that_ends_by_itself_cannot_be_resumed() -> None:
    stream = opened()
    async with stream.sessions.holding(stream.keeper):
        await stream.keeper.save()
    assert (await refused(stream.sessions, stream.held.token)).reason == "SESSION_NOT_FOUND"


async def test_a_session_is_taken_over_at_once_in_the_same_process_with_all_it_had() -> None:
    async with broken_off_at_the_end(opened()) as old:
        old.becomes(last_turn_id=5)
        taken_s = clock.now()
        held = await old.sessions.resume(old.held.token)
        assert held.saved == SavedSession(last_turn_id=5)
        async with broken_off_at_the_end(Stream(old.sessions, held)) as new:
            await asyncio.sleep(0.01)
            assert old.ended_s == pytest.approx(taken_s, abs=0.001)
            new.becomes(last_turn_id=6)
            old.becomes(last_turn_id=99)
    assert (await old.sessions.resume(new.held.token)).saved == SavedSession(last_turn_id=6)


async def test_a_session_that_is_taken_over_elsewhere_ends_within_a_second() -> None:
    async with broken_off_at_the_end(opened()) as old:
        await asyncio.sleep(2.5)
        taken_s = clock.now()
        await Sessions(old.sessions.store).resume(old.held.token)
        await asyncio.sleep(2.0)
        assert old.ended_s is not None
        assert 0 < old.ended_s - taken_s <= RENEW_EVERY_S


async def test_a_save_tells_that_a_session_was_taken_over_elsewhere() -> None:
    async with broken_off_at_the_end(opened()) as old:
        await asyncio.sleep(2.5)
        await Sessions(old.sessions.store).resume(old.held.token)
        old.becomes(last_turn_id=1)
        await old.keeper.save()
        saved_s = clock.now()
        await asyncio.sleep(0.01)
        assert old.ended_s == pytest.approx(saved_s, abs=0.001)


async def test_every_token_works_once() -> None:
    stream = opened()
    async with broken_off_at_the_end(stream):
        pass
    second = await stream.sessions.resume(stream.held.token)
    again = Stream(stream.sessions, second)
    async with broken_off_at_the_end(again):
        again.keeper.confirm()
    for token in (stream.held.token, stream.held.token + "x", "", "abc", second.token[:-1] + "-"):
        error = await refused(stream.sessions, token)
        assert str(error) == "config.resume.resume_token: is unknown, used or expired; begin a new session"
    assert (await stream.sessions.resume(second.token)).token not in (stream.held.token, second.token)


async def test_a_session_expires_after_its_time() -> None:
    async with broken_off_at_the_end(opened()) as stream:
        await asyncio.sleep(300.0)
    await asyncio.sleep(119.0)
    held = await stream.sessions.resume(stream.held.token)
    await asyncio.sleep(121.0)
    await refused(stream.sessions, held.token)


async def test_a_session_in_which_nothing_happens_is_renewed_and_not_written() -> None:
    store = FakeSessionStore()
    async with broken_off_at_the_end(opened(store)) as stream:
        await asyncio.sleep(10.5)
        assert (store.calls["save"], store.calls["renew"]) == (1, 10)
        stream.becomes(last_turn_id=1)
        await asyncio.sleep(2.0)
        assert (store.calls["save"], store.calls["renew"]) == (2, 11)


async def test_the_times_of_words_are_saved_at_once_and_the_passing_of_time_every_second() -> None:
    store = FakeSessionStore()
    turn = SavedTurn(1, Source.TEXT, "hello", sentences=("Yes, I do.",))
    words = tuple(SpokenWord(text, 0.3 * index, 0.3 * index + 0.2, False) for index, text in enumerate(("Yes, ", "I ")))
    async with broken_off_at_the_end(opened(store)) as stream:
        await asyncio.sleep(0.05)
        stream.session = replace(stream.session, turn=replace(turn, words=words))
        await asyncio.sleep(LOOK_EVERY_S)
        assert store.calls["save"] == 2
        for hundredth in range(400):
            stream.session = replace(stream.session, turn=replace(turn, words=words, played_s=hundredth / 100))
            await asyncio.sleep(0.01)
        assert 5 <= store.calls["save"] <= 7


async def test_while_the_store_is_down_the_client_is_told_once_and_nothing_waits() -> None:
    store = FakeSessionStore()
    async with broken_off_at_the_end(opened(store)) as stream:
        store.down = True
        began_s = clock.now()
        await asyncio.gather(*(stream.keeper.save() for _ in range(3)))
        assert clock.now() - began_s <= STORE_WITHIN_S + 0.001
        began_s = clock.now()
        for _ in range(10):
            await stream.keeper.save()
        assert clock.now() == pytest.approx(began_s, abs=0.001)
        await asyncio.sleep(10.0)
        assert stream.reasons == ["NOT_RESUMABLE"]
        stream.becomes(last_turn_id=4)
        store.down = False
        await asyncio.sleep(3.0)
        assert stream.reasons == ["NOT_RESUMABLE", "RESUMABLE"]
    assert (await stream.sessions.resume(stream.held.token)).saved == SavedSession(last_turn_id=4)


async def test_a_store_that_comes_back_empty_gets_the_session_again() -> None:
    store = FakeSessionStore()
    async with broken_off_at_the_end(opened(store)) as stream:
        await store.memory.aclose()
        await asyncio.sleep(2.0)
        assert stream.reasons == []
    assert (await stream.sessions.resume(stream.held.token)).saved == SavedSession()


async def test_a_session_that_begins_while_the_store_is_down_becomes_resumable() -> None:
    store = FakeSessionStore(down=True)
    async with broken_off_at_the_end(opened(store)) as stream:
        await asyncio.sleep(5.0)
        assert stream.reasons == ["NOT_RESUMABLE"]
        store.down = False
        await asyncio.sleep(3.0)
        assert stream.reasons == ["NOT_RESUMABLE", "RESUMABLE"]
    assert (await stream.sessions.resume(stream.held.token)).saved == SavedSession()


async def test_resuming_while_the_store_is_down_keeps_the_token() -> None:
    store = FakeSessionStore()
    stream = opened(store)
    async with broken_off_at_the_end(stream):
        pass
    store.down = True
    with pytest.raises(StoreUnavailable):
        await stream.sessions.resume(stream.held.token)
    store.down = False
    assert (await stream.sessions.resume(stream.held.token)).saved == SavedSession()


async def test_a_record_that_cannot_be_read_is_as_none() -> None:
    stream = opened()
    await stream.sessions.store.save(stream.held.hold, b"avatar-session 2\n{}")
    assert (await refused(stream.sessions, stream.held.token)).reason == "SESSION_NOT_FOUND"


async def test_saves_are_in_order_however_many_want_one() -> None:
    store = FakeSessionStore()
    async with broken_off_at_the_end(opened(store)) as stream, asyncio.TaskGroup() as tasks:
        for turn_id in range(20):
            stream.becomes(last_turn_id=turn_id)
            tasks.create_task(stream.keeper.save())
    assert (await stream.sessions.resume(stream.held.token)).saved == SavedSession(last_turn_id=19)
    assert store.calls["save"] == 2, "what is unchanged is not written again"


async def held(sessions: Sessions, token: str) -> None:
    """Fails unless the token must be tried again later."""
    with pytest.raises(SessionHeld, match="try again with the same one"):
        await sessions.resume(token)


async def test_a_token_counts_again_where_the_client_never_learned_of_the_next_one() -> None:
    stream = opened()
    async with broken_off_at_the_end(stream):
        pass
    second = Stream(stream.sessions, await stream.sessions.resume(stream.held.token))
    async with broken_off_at_the_end(second):
        second.becomes(last_turn_id=2)
        await asyncio.sleep(30.0)
        await held(stream.sessions, stream.held.token)
    third = await stream.sessions.resume(stream.held.token)
    assert third.saved == SavedSession(last_turn_id=2)
    await refused(stream.sessions, second.held.token)


async def test_a_process_that_died_before_the_client_learned_of_the_next_token_holds_the_session_for_its_lease() -> (
    None
):
    stream = opened()
    async with broken_off_at_the_end(stream):
        pass
    await stream.sessions.resume(stream.held.token)
    await asyncio.sleep(LEASE_S - 0.1)
    await held(stream.sessions, stream.held.token)
    await asyncio.sleep(0.2)
    assert (await stream.sessions.resume(stream.held.token)).saved == SavedSession()


async def test_what_a_client_confirms_in_its_last_moment_is_kept() -> None:
    stream = opened()
    async with broken_off_at_the_end(stream):
        pass
    second = Stream(stream.sessions, await stream.sessions.resume(stream.held.token))
    async with broken_off_at_the_end(second):
        second.keeper.confirm()
    await refused(stream.sessions, stream.held.token)
    assert (await stream.sessions.resume(second.held.token)).saved == SavedSession()


async def test_the_next_token_counts_as_soon_as_it_is_given_also_while_its_stream_lives() -> None:
    stream = opened()
    async with broken_off_at_the_end(stream):
        pass
    second = Stream(stream.sessions, await stream.sessions.resume(stream.held.token))
    async with broken_off_at_the_end(second):
        third = await stream.sessions.resume(second.held.token)
    assert third.saved == SavedSession()
    await refused(stream.sessions, stream.held.token)


async def test_a_session_of_another_tenant_is_as_none_and_its_token_is_not_used_up() -> None:
    sessions = Sessions(FakeSessionStore())
    stream = Stream(sessions, sessions.begin(new_session_id(), "acme"))
    async with broken_off_at_the_end(stream):
        pass
    unknown = await refused(sessions, new_token(new_session_id()))
    with pytest.raises(NotFound) as foreign:
        await sessions.resume(stream.held.token, "other")
    assert (str(foreign.value), foreign.value.reason) == (str(unknown), unknown.reason)
    assert (foreign.value.why, unknown.why) == ("foreign_token", "")
    again = Stream(sessions, await sessions.resume(stream.held.token, "acme"))
    async with broken_off_at_the_end(again):
        again.keeper.confirm()
    assert (await sessions.resume(again.held.token, "acme")).hold.tenant == "acme"


async def test_a_client_that_leaves_because_it_was_told_to_finds_its_session_elsewhere() -> None:
    stream = opened()
    async with stream.sessions.holding(stream.keeper, lambda: True):
        await stream.keeper.save()
    assert (await stream.sessions.resume(stream.held.token)).saved == SavedSession()
