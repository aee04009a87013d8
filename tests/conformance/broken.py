"""Scripts that must fail, so that a runner which looks at nothing is found out."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from tests.conformance.runner import steps_of

Step = Mapping[str, Any]

NOBODY: tuple[Step, ...] = ({"call": "GetAvatar"}, {"send": {"name": "avatars/nobody"}})
INFO: tuple[Step, ...] = ({"call": "GetServerInfo"}, {"send": {}})
SESSION: tuple[Step, ...] = ({"call": "Converse"}, {"send": {"config": {}}})
AVATARS: tuple[Step, ...] = ({"call": "ListAvatars"}, {"send": {}})
NOT_FOUND = {"code": "NOT_FOUND", "reason": "AVATAR_NOT_FOUND"}
BROKEN: Mapping[str, Sequence[Step]] = {
    "value": (*SESSION, {"expect": {"session_started": {"config": {"avatar": "avatars/nobody"}}}, "within_ms": 500}),
    "kind": (*SESSION, {"expect": {"go_away": {}}, "within_ms": 500}),
    "absent": (*INFO, {"expect": {"version": None}}),
    "present": (*INFO, {"expect": {"version": {"nothing": {"$present": True}}}}),
    "least": (*SESSION, {"expect": {"session_started": {"frame_width": {"$min": 1e6}}}, "within_ms": 500}),
    "most": (*SESSION, {"expect": {"session_started": {"resume_window": {"$max": 0.5}}}, "within_ms": 500}),
    "element": (*AVATARS, {"expect": {"avatars": [{"name": "avatars/nobody"}]}}),
    "count": (*INFO, {"expect": {"version": {"$present": True}}, "count": 2}),
    "never": (*SESSION, {"expect": {"session_started": {}}, "never": ["session_started"]}),
    "never_such": (*AVATARS, {"expect_end": {"code": "OK"}, "never": [{"avatars": [{"name": "avatars/ada"}]}]}),
    "save": (*INFO, {"expect": {"version": {"$present": True}}, "save": {"x": "nothing.here"}}),
    "variable": ({"call": "GetAvatar"}, {"send": {"name": "$nothing"}}),
    "end_in_time": (*SESSION, {"expect_end": {"code": "OK"}, "within_ms": 300}),
    "code": (*NOBODY, {"expect_end": NOT_FOUND | {"code": "OK"}}),
    "reason": (*NOBODY, {"expect_end": NOT_FOUND | {"reason": "FACE_NOT_FOUND"}}),
    "field": (*NOBODY, {"expect_end": NOT_FOUND | {"field": "name.first"}}),
    "retry": (*NOBODY, {"expect_end": NOT_FOUND | {"retry": True}}),
    "cancelled": (*SESSION, {"expect": {"session_started": {}}}, {"cancel": True}, {"expect_end": {"code": "OK"}}),
    "pause": (*SESSION, {"pause_reading_ms": 100}, {"expect_end": {"code": "OK"}, "never": ["session_started"]}),
}
"""One for each thing that a runner must look at; the last step is the one that fails."""


def write_broken(scripts: Sequence[Path], folder: Path) -> dict[Path, int]:
    """Write the broken scripts, and a broken copy of each script; returns the number of the step that fails."""
    written = {}
    for name, steps in BROKEN.items():
        written[_write(folder / f"broken_{name}.json", steps)] = len(steps)
    for script in scripts:
        number, steps = _broken(steps_of(script))
        written[_write(folder / f"broken_{script.name}", _at(script.parent, folder, steps))] = number
    return written


def _broken(steps: Sequence[Step]) -> tuple[int, list[dict[str, Any]]]:
    """The steps up to the first that expects something, which here cannot be met, and its number."""
    number, first = next((n, step) for n, step in enumerate(steps, 1) if step.keys() & {"expect", "expect_end"})
    never = {**first, "never": [*first.get("expect", ())]}
    impossible = {"expect_end": {"code": "DATA_LOSS"}} if "expect_end" in first else never
    return number, [dict(deepcopy(step)) for step in (*steps[: number - 1], impossible)]


def _at(before: Path, folder: Path, steps: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The steps of a script that moves to `folder`: its sound files stay."""
    for step in steps:
        if "file" in step.get("send_audio", {}):
            step["send_audio"]["file"] = os.path.relpath(before / step["send_audio"]["file"], folder)
        yield step


def _write(path: Path, steps: Any) -> Path:
    path.write_text(json.dumps({"about": "Must fail at its last step.", "steps": list(steps)}))
    return path
