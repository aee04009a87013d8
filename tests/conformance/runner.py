"""Plays wire scripts with plain grpcio and the generated code: `python -m tests.conformance.runner SERVER SCRIPT...`

The format is described in README.md beside this file.
"""

import argparse
import asyncio
import base64
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message

from tests.conformance.matching import PRESENT, difference, found, substituted
from tests.conformance.sound import pieces
from tests.conformance.wire import WireCall

AT_ONCE = 8
WITHIN_MS = 10_000
DEADLINE_MS = 60_000
OPTIONS = (("grpc.http2.bdp_probe", 0), ("grpc.max_receive_message_length", 16 * 1024 * 1024))


class Failed(Exception):
    """A step did not go as the script says."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is printed of a script."""

    case: str
    passed: bool
    ms: int
    failure: str


@dataclass(slots=True)
class Play:
    """One script being played."""

    channel: grpc.Channel
    folder: Path
    call: WireCall | None = None
    variables: dict[str, Any] = field(default_factory=dict)

    async def step(self, step: Mapping[str, Any]) -> None:
        """Play one step. Raises Failed."""
        match step:
            case {"call": name}:
                self.close()
                metadata = list(step.get("metadata", {}).items())
                self.call = WireCall(self.channel, name, metadata, step.get("deadline_ms", DEADLINE_MS) / 1e3)
            case {"send": message}:
                request = ParseDict(self._filled(message), self._open.request())
                self._open.send(request.SerializeToString())
            case {"send_raw": data}:
                self._open.send(base64.b64decode(data, validate=True))
            case {"send_audio": audio}:
                for piece in pieces(audio, self.folder):
                    request = ParseDict({"audio": {"data": base64.b64encode(piece)}}, self._open.request())
                    self._open.send(request.SerializeToString())
            case {"half_close": True}:
                self._open.half_close()
            case {"cancel": True}:
                self._open.cancel()
            case {"pause_reading_ms": ms}:
                await asyncio.sleep(ms / 1e3)
            case _:
                await self._read_for(step)

    def close(self) -> None:
        """Cancel what is still open."""
        if self.call is not None:
            self.call.cancel()

    async def _read_for(self, step: Mapping[str, Any]) -> None:
        match step:
            case {"expect": expected}:
                await self._expect(self._filled(expected), step)
            case {"expect_end": expected}:
                await self._expect_end(expected, step)
            case _:
                raise Failed("is no step that is known")

    @property
    def _open(self) -> WireCall:
        if self.call is None:
            raise Failed("needs a call before it")
        return self.call

    def _filled(self, value: Any) -> Any:
        try:
            return substituted(value, self.variables)
        except KeyError as missing:
            raise Failed(f"${missing.args[0]} was not saved") from None

    async def _expect(self, expected: Mapping[str, Any], step: Mapping[str, Any]) -> None:
        missing, seen, nearest = step.get("count", 1), Counter[str](), ""
        try:
            async with asyncio.timeout(step.get("within_ms", WITHIN_MS) / 1e3):
                while missing:
                    response = await self._read(step, seen)
                    if response is None:
                        end = await self._open.end()
                        raise Failed(f"the call ended first: {end.code} {end.message}; {_told(seen, nearest)}")
                    if not _has(response, expected):
                        continue
                    actual = _as_json(response)
                    if different := difference(expected, actual):
                        nearest = different
                    else:
                        missing -= 1
        except TimeoutError:
            raise Failed(f"did not come in time; {_told(seen, nearest)}") from None
        for name, path in step.get("save", {}).items():
            try:
                self.variables[name] = found(actual, path)
            except (KeyError, TypeError):
                raise Failed(f"cannot save {name}: no {path}") from None

    async def _expect_end(self, expected: Mapping[str, Any], step: Mapping[str, Any]) -> None:
        seen = Counter[str]()
        try:
            async with asyncio.timeout(step.get("within_ms", WITHIN_MS) / 1e3):
                while await self._read(step, seen):
                    pass
                end = await self._open.end()
        except TimeoutError:
            raise Failed(f"the call did not end in time; {_told(seen, '')}") from None
        actual: dict[str, Any] = {
            "code": end.code,
            "reason": end.status.error_info.reason,
            "field": end.status.field,
            "retry": end.status.HasField("retry_delay"),
        }
        if different := difference(expected, actual):
            raise Failed(f"{different} ({end.code}: {end.message})")

    async def _read(self, step: Mapping[str, Any], seen: Counter[str]) -> Message | None:
        """The next response. Raises Failed for one that must not come."""
        response = await self._open.read()
        if response is not None:
            kinds = [descriptor.name for descriptor, _ in response.ListFields()]
            seen.update(kinds)
            for unwanted in map(_pattern, step.get("never", ())):
                if _has(response, unwanted) and not difference(self._filled(unwanted), _as_json(response)):
                    raise Failed(f"{json.dumps(unwanted)} came, which must not")
        return response


def steps_of(script: Path) -> Sequence[Mapping[str, Any]]:
    """The steps of a script."""
    steps: Sequence[Mapping[str, Any]] = json.loads(script.read_text(encoding="utf-8"))["steps"]
    return steps


def about(script: Path) -> str:
    """What a script shows, in one sentence."""
    return str(json.loads(script.read_text(encoding="utf-8"))["about"])


async def play(channel: grpc.Channel, script: Path) -> Outcome:
    """Play one script to its end or its first failure."""
    began, failure, playing = time.monotonic(), "", Play(channel, script.parent)
    steps = steps_of(script)
    for number, step in enumerate(steps, 1):
        try:
            await playing.step(step)
        except Failed as failed:
            failure = f"step {number}, {next(iter(step))}: {failed}"
            break
    playing.close()
    return Outcome(script.stem, not failure, round((time.monotonic() - began) * 1e3), failure)


async def run(server: str, scripts: Sequence[Path], at_once: int = AT_ONCE) -> bool:
    """Play all scripts and print a line for each; returns whether all passed."""
    places, passed = asyncio.Semaphore(at_once), True

    async def one(script: Path) -> None:
        nonlocal passed
        async with places:
            outcome = await play(channel, script)
        passed &= outcome.passed
        print(json.dumps(asdict(outcome)), flush=True)  # noqa: T201  # this is a command

    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2 * at_once))
    with grpc.insecure_channel(server, options=OPTIONS) as channel:
        async with asyncio.TaskGroup() as playing:
            for script in scripts:
                playing.create_task(one(script))
    return passed


def main() -> None:
    """The command. Exit code 0: every script passed; 1: one failed; 2: the arguments cannot be used."""
    parser = argparse.ArgumentParser(description="Plays wire scripts against a server.")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="scripts played at one time")
    parser.add_argument("server", help="HOST:PORT of a server in plain text")
    parser.add_argument("scripts", nargs="+", type=Path)
    arguments = parser.parse_args()
    sys.exit(0 if asyncio.run(run(arguments.server, arguments.scripts, arguments.at_once)) else 1)


def _has(response: Message, expected: Mapping[str, Any]) -> bool:
    """Whether it is worth comparing: media in JSON cost more than everything else."""
    present = {descriptor.name for descriptor, _ in response.ListFields()}
    return all(name in present for name, item in expected.items() if item is not None)


def _pattern(never: str | dict[str, Any]) -> dict[str, Any]:
    return {never: {PRESENT: True}} if isinstance(never, str) else never


def _as_json(response: Message) -> dict[str, Any]:
    return MessageToDict(response, preserving_proto_field_name=True)


def _told(seen: Counter[str], nearest: str) -> str:
    came = ", ".join(f"{count} {kind}" for kind, count in seen.items()) or "nothing"
    return f"came: {came}" + (f"; nearest: {nearest}" if nearest else "")


if __name__ == "__main__":
    main()
