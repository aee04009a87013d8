"""The models of a Triton on this machine, asked over HTTP: whether they answer, and to be loaded again.

Triton's own readiness stays true when a model's process is dead, so only an answer of the model itself counts.
"""

import json
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import aiohttp

from avatar_service.engines.triton_preparation import BLANK
from avatar_service.errors import StartupError

MODEL, PREPARE = "musetalk", "prepare"
DEAD = "Stub process"
"""How Triton's error begins where a model's process is gone."""

Tensors = dict[str, tuple[str, list[int] | list[float] | list[str]]]


class State(Enum):
    """What a request to a model says of it."""

    ANSWERS = auto()
    BUSY = auto()
    """Triton takes no more requests for it at the moment, or is itself about to start or to end."""
    FAILS = auto()
    DEAD = auto()
    """Its process is gone."""


@dataclass(frozen=True, slots=True)
class TritonModels:
    """The models of one server. `avatar` is one that can be rendered, as ``id@sha256``; empty if there is none."""

    http: aiohttp.ClientSession
    address: str
    avatar: str

    async def state(self, model: str) -> State:
        """Ask for next to nothing, and wait for the answer as long as it takes; a refusal is an answer."""
        return await (self.prepares() if model == PREPARE else self.renders(moving=False))

    async def renders(self, *, moving: bool = True) -> State:
        """Ask for one frame, by the networks if the mouth is `moving`; without an avatar, to be refused one.

        Raises StartupError if the model cannot use the avatar for that.
        """
        body = json.dumps({**_inputs(_span(self.avatar, moving)), "outputs": [{"name": "RENDERED"}]}).encode()
        status, error = await self._post(f"v2/models/{MODEL}/infer", body)
        if moving and self.avatar and "AVATAR:" in error:
            raise StartupError(
                f"Triton's model runs but cannot render {self.avatar.partition('@')[0]!r}: {error}; AVATAR_AVATARS "
                "names the folder of avatars, `avatar-service prepare FILE --weights FOLDER --out AVATARS/ID` puts one "
                "there"
            )
        return State.ANSWERS if "AVATAR:" in error else _state(status, error)

    async def prepares(self) -> State:
        """Ask which weights it has."""
        image = {"name": "IMAGES", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(_IMAGE)}}
        header = json.dumps({"inputs": [image], "outputs": [{"name": "WEIGHTS"}]}).encode()
        headers = {"Inference-Header-Content-Length": str(len(header))}
        return _state(*await self._post(f"v2/models/{PREPARE}/infer", header + _IMAGE, headers))

    async def is_loaded(self, model: str) -> bool:
        """Whether Triton says that a model is ready; right after it was loaded, that is so."""
        try:
            async with self.http.get(f"http://{self.address}/v2/models/{model}/ready") as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def load(self, model: str) -> bool:
        """Load a model anew, as long as that takes; returns whether it answers then."""
        # Triton takes a model whose process is dead for loaded, and a load of that changes nothing.
        for step in ("unload", "load"):
            status, _ = await self._post(f"v2/repository/models/{model}/{step}", b"{}")
            if status != 200:
                return False
        return await self.state(model) in (State.ANSWERS, State.BUSY)

    async def _post(self, path: str, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, str]:
        """The status and the error of an answer; 0 where there is none."""
        try:
            async with self.http.post(f"http://{self.address}/{path}", data=body, headers=headers) as response:
                if response.status == 200:
                    return 200, ""
                # Triton names no type for its errors, and aiohttp would refuse to read them.
                return response.status, str((await response.json(content_type=None)).get("error", ""))
        except (aiohttp.ClientError, TimeoutError, ValueError, AttributeError):
            return 0, ""


def _state(status: int, error: str) -> State:
    if status == 200:
        return State.ANSWERS
    if DEAD in error:
        return State.DEAD
    return State.BUSY if status in (0, 429, 503) else State.FAILS


def _span(avatar: str, moving: bool) -> Tensors:
    """A request for one frame of silence: at full length, or as short as a silent one may be."""
    left, length = (16_000, 16_000 + 640 + 3_840) if moving else (0, 640)
    return {
        "AUDIO": ("INT16", [0] * length),
        "AUDIO_START": ("INT64", [0]),
        "AVATAR": ("BYTES", [avatar]),
        "FRAME_INDEX": ("INT32", [0]),
        "FRAME_START": ("INT32", [left]),
        "MOUTH_WEIGHT": ("FP32", [1.0 if moving else 0.0]),
        "MEL_MAX": ("FP32", [0.5]),
    }


def _inputs(tensors: Tensors) -> dict[str, Any]:
    return {
        "inputs": [
            {"name": name, "datatype": kind, "shape": [1, len(data)], "data": data}
            for name, (kind, data) in tensors.items()
        ]
    }


_IMAGE = len(BLANK).to_bytes(4, "little") + BLANK
"""One text of a tensor, as Triton takes it in binary."""
