"""Speech to text by OpenAI's transcription API, or any server that speaks it."""

import io
import wave

import openai

from avatar_service.engines import policy
from avatar_service.engines.attempt import Attempt
from avatar_service.engines.base import TranscriptionOptions
from avatar_service.engines.openai_client import ENGINE, openai_errors
from avatar_service.media.types import Utterance
from avatar_service.settings import LimitSettings

STAGE = "transcribe"


class OpenAITranscriber:
    """Sends each utterance as one WAV file."""

    def __init__(self, client: openai.AsyncOpenAI, limits: LimitSettings) -> None:
        self._client = client
        self._limits = limits

    async def transcribe(self, utterance: Utterance, options: TranscriptionOptions) -> str:
        """What was said; empty if nothing was."""
        wav = _wav(utterance)

        async def ask(attempt: Attempt) -> str:
            with openai_errors(STAGE):
                transcription = await self._client.audio.transcriptions.create(
                    file=("utterance.wav", wav, "audio/wav"),
                    model=options.model,
                    # The vendor takes ISO 639-1, the first part of a BCP-47 code.
                    language=options.language.partition("-")[0].lower() or openai.omit,
                    prompt=options.prompt or openai.omit,
                )
                attempt.identified(transcription._request_id)
                return transcription.text

        # Nothing comes before the whole answer, so the limit of a first output is the limit of the answer.
        return await policy.call(STAGE, ENGINE, ask, self._limits, self._limits.first_output_s)


def _wav(utterance: Utterance) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(utterance.rate_hz)
        wav.writeframes(utterance.pcm)
    return file.getvalue()
