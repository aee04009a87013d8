"""A client that resumes sends again each text of which it saw no turn: what had arrived is not answered twice."""

import pytest

from avatar_service.events import Source, TurnStarted
from avatar_service.session.inputs import Said
from avatar_service.session.repeats import REMEMBERED, Requests
from avatar_service.session.saved import SavedSession
from avatar_service.turn.turn import UserInput
from tests.scenario import Recording, Scenario


def text(name: str) -> Said:
    return Said(UserInput(Source.TEXT, text="How far?", request_id=name), interrupts=True)


def say(name: str) -> Said:
    return Said(UserInput(Source.SAY, text="One more thing.", request_id=name))


async def resumed(cut: Scenario, after: Scenario) -> Recording:
    assert cut.saved is not None
    cut.saved = SavedSession.from_bytes(cut.saved.to_bytes())
    return await after.resuming(cut).run()


def turns(recording: Recording) -> list[tuple[Source, str]]:
    return [(turn.source, turn.request_id) for turn in recording.all(TurnStarted)]


@pytest.mark.parametrize("at_s", [0.21, 0.5, 1.5, 9.0])
async def test_a_text_that_had_arrived_is_not_answered_again(at_s: float) -> None:
    cut = Scenario().input(0.2, text("q1")).reply("The moon is near.").speech(rate=20.0).listen_until(60.0)
    first = await cut.cut(at_s)
    after = Scenario().reply("The moon is near.").reply("It is round.").input(0.1, text("q1"))
    told = [*turns(first), *turns(await resumed(cut, after))]
    assert told.count((Source.TEXT, "q1")) == 1
    assert {source for source, _ in told} <= {Source.TEXT, Source.RESUME}


async def test_a_text_that_had_not_arrived_is_answered() -> None:
    cut = Scenario().input(0.2, text("q1")).reply("The moon is near.").speech(rate=20.0).listen_until(60.0)
    await cut.cut(9.0)
    after = Scenario().reply("It is round.").input(0.1, text("q2"))
    assert turns(await resumed(cut, after)) == [(Source.TEXT, "q2")]


async def test_what_waited_is_spoken_once() -> None:
    cut = Scenario().input(0.2, text("q1")).reply("The moon is near.").speech(rate=20.0).input(0.5, say("s1"))
    await cut.listen_until(60.0).cut(1.0)
    after = Scenario().input(0.1, say("s1")).input(0.1, say("s2"))
    told = turns(await resumed(cut, after))
    assert [name for source, name in told if source is Source.SAY] == ["s1", "s2"]


async def test_a_name_may_be_used_again_within_a_stream_and_no_name_never_counts() -> None:
    scenario = Scenario().reply("The moon is near.").reply("It is round.").input(0.2, text("q")).input(9.0, text("q"))
    assert [name for _, name in turns(await scenario.run())] == ["q", "q"]
    unnamed = Scenario().reply("The moon is near.").reply("It is round.").input(0.2, text("")).input(9.0, text(""))
    assert len(turns(await unnamed.run())) == 2


def test_a_limited_number_of_names_is_remembered() -> None:
    requests = Requests((), ())
    for number in range(REMEMBERED + 10):
        assert not requests.is_repeated(UserInput(Source.TEXT, request_id=f"q{number}"))
    assert len(requests.names) == REMEMBERED
    assert requests.names[-1] == f"q{REMEMBERED + 9}"
