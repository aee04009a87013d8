"""When the words of a turn are saved: before they may be heard, and not whenever one comes."""

import asyncio
from dataclasses import dataclass, field

import pytest

from avatar_service.events import SpokenText
from avatar_service.session.keeper import LOOK_EVERY_S
from avatar_service.session.saved import SavedSession
from avatar_service.session.session import Session
from tests.fakes.speech import FakeSpeech
from tests.scenario import Recording, Scenario

STORY = "".join(f"Words{index} come and go{index} with{index} time{index}. " for index in range(12))
"""Words that are each there once."""
FIRST_S = 0.5
"""Of what is heard before its words are known nothing can be saved."""


@dataclass
class Kept(Scenario):
    """A conversation whose session is saved when it says so."""

    recording: Recording = field(default_factory=Recording)
    looks: int = 0
    saves: int = 0
    kept: SavedSession | None = None
    lost: list[str] = field(default_factory=list)
    """Words that the client was told of and that a process which died then would not have saved."""

    async def _hold(self, session: Session) -> None:
        keeping = asyncio.create_task(self._keep(session))
        try:
            await super()._hold(session)
        finally:
            keeping.cancel()

    async def _keep(self, session: Session) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.looks += 1
            saved = {word.text for word in self.kept.turn.words} if self.kept and self.kept.turn else set[str]()
            told = [(event.text, event.end_s) for event in self.recording.all(SpokenText)]
            self.lost += [text for text, end_s in told if text not in saved and end_s > FIRST_S]
            if session.is_behind(self.kept):
                self.kept, self.saves = session.snapshot(), self.saves + 1


@pytest.mark.parametrize("aligned", [True, False])
async def test_words_are_saved_before_they_are_heard(aligned: bool) -> None:
    kept = Kept(fake_speech=FakeSpeech(rate=4.0, aligned=aligned))
    await kept.say(0.0, STORY).listen_until(25.0).run(kept.recording)
    assert len(kept.recording.all(SpokenText)) > 50
    assert kept.lost == []


async def test_words_that_come_long_before_they_are_heard_are_not_saved_one_by_one() -> None:
    kept = Kept(fake_speech=FakeSpeech(rate=4.0))
    await kept.say(0.0, STORY).listen_until(25.0).run(kept.recording)
    assert kept.looks > 50
    assert kept.saves < kept.looks / 4


async def test_a_session_that_says_nothing_is_not_behind() -> None:
    kept = Kept()
    await kept.listen_until(5.0).run(kept.recording)
    assert kept.looks > 15
    assert kept.saves == 0
