"""Rules of faults: which requests they take, that the same requests get the same faults, and what is refused."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pytest

from avatar_service.sandbox.fault_kinds import (
    TARGETS,
    FaultName,
    FaultRefused,
    InjectedFault,
    parse_fault,
    targets_of,
)
from avatar_service.sandbox.faults import FAULT_HEADER, MAX_RULES, Faults, load_rules

EXAMPLES: dict[FaultName, dict[str, Any]] = {
    "status": {"status": 429, "retry_after_s": 0.5, "code": "insufficient_quota"},
    "drip": {"rate": 0.5},
    "close": {"code": 1008, "after": 2, "error": "quota_exceeded"},
}
"""Fields of the faults that need some."""


def taken(faults: Faults, requests: int, headers: Mapping[str, str] | None = None) -> list[int]:
    """The numbers, from 1, of those of so many requests for a chat that get a fault."""
    return [n for n in range(1, requests + 1) if faults.choose("chat", headers or {}) is not None]


def rule(**fields: Any) -> dict[str, Any]:
    return {"on": "chat", "fault": "hang", **fields}


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({}, [1, 2, 3, 4, 5]),
        ({"nth": [1, 3]}, [1, 3]),
        ({"first": 2}, [1, 2]),
        ({"probability": 0.0}, []),
        ({"probability": 1.0, "seed": 7}, [1, 2, 3, 4, 5]),
    ],
)
def test_a_rule_takes_the_requests_that_it_says(choice: dict[str, Any], expected: list[int]) -> None:
    assert taken(Faults([rule(**choice)]), 5) == expected


def test_chance_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    first, again, other = (taken(Faults([rule(probability=0.1, seed=seed)]), 1000) for seed in (7, 7, 8))

    assert first == again != other
    assert len(first) == pytest.approx(100, abs=40)


def test_the_chance_of_one_rule_does_not_depend_on_another() -> None:
    """Each draws for every request that it concerns, whichever is used in the end."""
    alone = taken(Faults([rule(on="voices"), rule(probability=0.3, seed=5)]), 100)
    before = {"on": "chat", "fault": "cut", "nth": list(range(1, 50))}
    together = Faults([before, rule(probability=0.3, seed=5)])

    faults = [together.choose("chat", {}) for _ in range(100)]

    assert [n for n in alone if n >= 50] == [n for n, f in enumerate(faults, 1) if f is not None and f.name == "hang"]


def test_rules_with_the_same_seed_take_different_requests() -> None:
    faults = Faults([rule(fault=name, probability=0.2, seed=5) for name in ("cut", "hang", "empty")])

    for _ in range(200):
        faults.choose("chat", {})

    assert all(entry["injected"] > 10 for entry in faults.to_json())


def test_the_first_rule_that_takes_a_request_wins_and_all_count_it() -> None:
    faults = Faults([rule(fault="cut", nth=[1]), rule(nth=[1, 2])])

    names = [fault and fault.name for fault in (faults.choose("chat", {}) for _ in range(3))]

    assert names == ["cut", "hang", None]
    assert [(entry["matched"], entry["injected"]) for entry in faults.to_json()] == [(3, 1), (3, 1)]


def test_a_rule_concerns_its_routes_alone() -> None:
    faults = Faults([rule(on="speech"), rule(on="any", fault="cut", nth=[1])])

    assert faults.choose("voices", {}) == InjectedFault("cut")
    assert faults.choose("voices", {}) is None
    assert faults.choose("speech", {}) == InjectedFault("hang")
    assert [entry["matched"] for entry in faults.to_json()] == [1, 3]


def test_a_rule_with_a_header_counts_requests_that_carry_its_value() -> None:
    faults = Faults([rule(header={"x-session": "3"}, nth=[2])])

    assert taken(faults, 3) == []
    assert taken(faults, 3, {"x-session": "4"}) == []
    assert taken(faults, 3, {"x-session": "3"}) == [2]


def test_new_rules_begin_to_count_anew() -> None:
    faults = Faults([rule(first=1)])
    assert taken(faults, 2) == [1]
    faults.replace([rule(first=1)])
    assert taken(faults, 2) == [1]
    faults.clear()
    assert taken(faults, 2) == []
    assert faults.to_json() == []


def test_rules_that_are_refused_leave_the_old_ones_in_place() -> None:
    faults = Faults([rule()])
    with pytest.raises(FaultRefused):
        faults.replace([rule(), rule(nth=[])])
    assert taken(faults, 1) == [1]


def test_rules_are_listed_as_they_were_given() -> None:
    given = rule(fault="status", status=503, nth=[2], header={"a": "b"})
    assert Faults([given]).to_json() == [{**given, "matched": 0, "injected": 0}]


def test_a_request_can_bring_its_own_fault_which_no_rule_counts() -> None:
    faults = Faults([rule(fault="cut")])

    asked = faults.choose("chat", {FAULT_HEADER: '{"fault": "status", "status": 500}'})

    assert asked == InjectedFault("status", status=500)
    assert faults.to_json()[0]["matched"] == 0


@pytest.mark.parametrize("asked", ["", "hang", "[]", '{"fault": "close"}', '{"fault": "hang", "nth": [1]}'])
def test_a_header_that_holds_no_fault_of_the_route_is_refused(asked: str) -> None:
    with pytest.raises(FaultRefused, match=FAULT_HEADER):
        Faults().choose("chat", {FAULT_HEADER: asked})


@pytest.mark.parametrize("name", get_args(FaultName))
def test_every_fault_is_taken_where_it_makes_sense_and_refused_elsewhere(name: FaultName) -> None:
    fields = EXAMPLES.get(name, {})
    for target in TARGETS:
        given = [{"on": target, "fault": name, **fields}]
        if target in targets_of(name):
            assert Faults(given).choose(target, {}) == parse_fault({"fault": name, **fields})
        else:
            with pytest.raises(FaultRefused, match=rf"rule 1: fault {name} makes no sense on {target}; it does on "):
                Faults(given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("hang", "must be a JSON object"),
        ({"fault": "hang"}, "on must be one of transcription, chat, .*any; not None"),
        (rule(on="tts"), "on must be one of .*; not 'tts'"),
        (rule(on=["chat"]), "on must be one of"),
        (rule(fault="slow"), "fault must be one of status, hang, .*, not 'slow'"),
        (rule(fault=["hang"]), "fault must be one of"),
        (rule(fault="odd_length"), "fault odd_length makes no sense on chat; it does on speech, speech_socket"),
        (rule(on="speech", fault="close"), "fault close makes no sense on speech; it does on speech_socket"),
        (rule(on="any", fault="refusal"), "fault refusal makes no sense on transcription; it does on chat"),
        (rule(after=1), "'after' is no field of hang, which has no field"),
        (rule(fault="cut", afer=1), "'afer' is no field of cut, which has after"),
        (rule(fault="cut", after=-1), "after must be a whole number from 0 to 100000, not -1"),
        (rule(fault="cut", after=True), "after must be a whole number"),
        (rule(fault="cut", after=1.5), "after must be a whole number"),
        (rule(fault="status"), "status must be a whole number from 400 to 599; it is missing"),
        (rule(fault="status", status=200), "status must be a whole number from 400 to 599, not 200"),
        (
            rule(fault="status", status=429, retry_after_s=-1),
            "retry_after_s must be a number of seconds from 0 to 3600",
        ),
        (rule(fault="status", status=429, code=7), "code must be 1 to 64 printable ASCII characters"),
        (rule(fault="drip", rate=0), "rate must be a number from 0.01 to 1000, not 0"),
        (rule(fault="drip", rate=float("nan")), "rate must be a number"),
        (rule(fault="broken_tool_call", arguments="odd"), "arguments must be 'cut' or 'not_json', not 'odd'"),
        (rule(on="speech_socket", fault="close", code=1005), "code must be a close code: 1000 to 1003"),
        (rule(nth=[]), "nth must be a list of 1 to 1000 whole numbers from 1 on"),
        (rule(nth=[0]), "nth must be a list"),
        (rule(nth=1), "nth must be a list"),
        (rule(first=0), "first must be a whole number from 1 to"),
        (rule(probability=1.1), "probability must be a number from 0 to 1, not 1.1"),
        (rule(probability=0.5, seed="x"), "seed must be a whole number from 0 to"),
        (rule(seed=1), "seed has no meaning without probability"),
        (rule(nth=[1], first=2), "first cannot stand beside nth"),
        (rule(header="x"), "header must be an object of names and values"),
        (rule(header={"x": 1}), "header must be an object of names and values"),
    ],
)
def test_a_bad_rule_is_refused_with_its_number_field_and_range(given: Any, said: str) -> None:
    with pytest.raises(ValueError, match=f"^rule 2: ({said})"):
        Faults([rule(), given])


@pytest.mark.parametrize("given", [None, {}, "hang", 3, [rule()] * (MAX_RULES + 1)])
def test_what_is_no_list_of_rules_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match=f"rules must be a JSON list of at most {MAX_RULES}"):
        Faults(given)


def test_rules_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    path.write_text(json.dumps([rule(first=2)]))

    assert load_rules(path) == [rule(first=2)]


@pytest.mark.parametrize(("text", "said"), [("[", "Expecting"), ("{}", "rules must be"), ('[{"on": 1}]', "rule 1: ")])
def test_a_file_without_rules_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "faults.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"faults\.json: .*{said}"):
        load_rules(path)
    with pytest.raises(ValueError, match=r"nowhere\.json"):
        load_rules(tmp_path / "nowhere.json")
