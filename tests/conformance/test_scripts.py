"""Wire scripts are what README.md and the schema beside it say, and name nothing that the contract does not have."""

import base64
import json
import struct
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.json_format import ParseDict
from google.protobuf.message_factory import GetMessageClass

from tests.conformance.broken import BROKEN
from tests.conformance.matching import difference
from tests.conformance.runner import steps_of
from tests.conformance.runners import SCRIPTS
from tests.conformance.sound import pieces
from tests.conformance.wire import METHODS

SCHEMA = json.loads((SCRIPTS.parent / "script.schema.json").read_text())
FILES = sorted(SCRIPTS.glob("*.json"))
UNCHECKED = ("google.protobuf.Duration",)
"""Messages that JSON has another form for."""


@pytest.mark.parametrize("script", FILES, ids=lambda path: path.stem)
def test_a_script_is_of_the_schema(script: Path) -> None:
    jsonschema.validate(json.loads(script.read_text()), SCHEMA)


@pytest.mark.parametrize("script", FILES, ids=lambda path: path.stem)
def test_a_script_speaks_of_the_contract(script: Path) -> None:
    method = None
    for step in steps_of(script):
        if "call" in step:
            method = METHODS[step["call"]]
        assert method is not None
        if "send" in step:
            ParseDict(step["send"], GetMessageClass(method.input_type)())
        for pattern in (step.get("expect", {}), *step.get("never", ())):
            _check_names({pattern: None} if isinstance(pattern, str) else pattern, method.output_type)
        for path in step.get("save", {}).values():
            _check_path(path, method.output_type)


def _check_names(pattern: Any, message: Descriptor) -> None:
    """Every name in a pattern is a field: a misspelt one could never match, or would match `null` for ever."""
    if isinstance(pattern, list):
        for item in pattern:
            _check_names(item, message)
    if not isinstance(pattern, Mapping) or any(name.startswith("$") for name in pattern):
        return
    for name, item in pattern.items():
        field = message.fields_by_name[name]
        inner = field.message_type
        if inner and inner.full_name not in UNCHECKED and not inner.GetOptions().map_entry:
            _check_names(item, inner)


def _check_path(path: str, message: Descriptor) -> None:
    for name in path.split("."):
        message = message.fields_by_name[name].message_type


@pytest.mark.parametrize(
    "script",
    [
        {"about": "It begins with no call.", "steps": [{"send": {}}, {"half_close": True}]},
        {"about": "It has a step of two kinds.", "steps": [{"call": "Speak"}, {"send": {}, "cancel": True}]},
        {"about": "It has an unknown step.", "steps": [{"call": "Speak"}, {"wait": 1}]},
        {"about": "It has no such code.", "steps": [{"call": "Speak"}, {"expect_end": {"code": "FINE"}}]},
        {"about": "It has two sounds.", "steps": [{"call": "Animate"}, {"send_audio": {"tone_ms": 1, "file": "x"}}]},
        {"about": "It is too short.", "steps": [{"call": "Speak"}]},
    ],
    ids=lambda script: script["about"],
)
def test_the_schema_refuses_what_no_runner_understands(script: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(script, SCHEMA)


def test_the_broken_scripts_are_of_the_schema_too() -> None:
    for name, steps in BROKEN.items():
        jsonschema.validate({"about": f"Is broken in its {name}, and fails.", "steps": list(steps)}, SCHEMA)


MESSAGE = {"turn_id": "7", "offset": "1.500s", "width": 512, "final": True, "list": [{"a": 1}, {"a": 2, "b": "x"}]}


@pytest.mark.parametrize(
    "expected",
    [
        {},
        {"turn_id": "7", "final": True, "width": 512, "other": None},
        {"turn_id": {"$min": 7, "$max": 7}, "offset": {"$min": 1.5}, "width": {"$max": 512.5}},
        {"list": [{"b": "x"}, {"a": 1}]},
        {"list": {"$present": True}},
    ],
)
def test_what_matches(expected: Any) -> None:
    assert difference(expected, MESSAGE) == ""


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        ({"turn_id": 7}, "turn_id is '7', not 7"),
        ({"final": 1}, "final is True, not 1"),
        ({"turn_id": None}, "turn_id is '7' and must be absent"),
        ({"other": {"$present": True}}, "other is absent"),
        ({"other": {"deeper": "x"}}, "other is absent"),
        ({"offset": {"$max": 1.499}}, "offset is '1.500s' and must be within {'$max': 1.499}"),
        ({"list": {"$min": 1}}, "must be a number"),
        ({"list": [{"a": 1, "b": "x"}]}, "list has no"),
        ({"width": {"deeper": 1}}, "width is 512 and must be an object"),
        ({"width": [1]}, "width is 512 and must be a list"),
    ],
)
def test_what_does_not_match(expected: Any, words: str) -> None:
    assert words in difference(expected, MESSAGE)


def test_sound_is_cut_into_pieces_of_whole_samples(tmp_path: Path) -> None:
    def sizes(**audio: int) -> list[int]:
        return [len(piece) for piece in pieces(audio, tmp_path)]

    assert sizes(silence_ms=250) == [3_200, 3_200, 1_600]
    assert sizes(tone_ms=20, rate_hertz=44_100, piece_ms=15) == [1_322, 442]
    (tone,) = pieces({"tone_ms": 50, "piece_ms": 50}, tmp_path)
    samples = struct.unpack("<800h", tone)
    assert max(map(abs, samples)) in (8_191, 8_192)
    assert sum(before < 0 <= after for before, after in pairwise(samples)) == 21, "440 Hz for 50 ms, from a phase of 0"
    (tmp_path / "x.pcm").write_bytes(b"\1\2\3\4")
    assert list(pieces({"file": "x.pcm"}, tmp_path)) == [b"\1\2\3\4"]


def test_raw_messages_are_base64() -> None:
    for script in FILES:
        for step in steps_of(script):
            assert base64.b64decode(step.get("send_raw", ""), validate=True) or "send_raw" not in step
