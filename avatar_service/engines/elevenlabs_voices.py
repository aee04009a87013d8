"""The voices of an ElevenLabs account, in our words."""

import re
from typing import Any

import elevenlabs
from elevenlabs.client import AsyncElevenLabs

from avatar_service.engines.base import Voice, VoiceInfo

PAGE_SIZE = 100
"""Voices a request; the vendor gives no more."""
MOST_PAGES = 20
"""Requests for one list; an account with more than 2,000 voices shows the first of them."""
LANGUAGE_CODE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*", re.ASCII)
"""A BCP-47 code, as far as one can be told from a word."""
SETTINGS = ("stability", "similarity_boost", "style", "use_speaker_boost", "speed")
"""The settings that both sides call the same."""


async def list_voices(client: AsyncElevenLabs) -> list[VoiceInfo]:
    """All voices of the account that have an id, by name. Raises what the SDK raises."""
    voices: list[VoiceInfo] = []
    token: str | None = None
    for _ in range(MOST_PAGES):
        page = await client.voices.search(
            next_page_token=token,
            page_size=PAGE_SIZE,
            sort="name",
            sort_direction="asc",
            request_options={"max_retries": 0},
        )
        voices += [voice_info(voice) for voice in page.voices if voice.voice_id]
        token = page.next_page_token
        if not (page.has_more and token):
            break
    return voices


def voice_info(voice: elevenlabs.Voice) -> VoiceInfo:
    """One voice. Whatever the vendor leaves out is empty, or the setting's usual value."""
    told = {name: getattr(voice.settings, name, None) for name in SETTINGS}
    settings: dict[str, Any] = {name: value for name, value in told.items() if value is not None}
    return VoiceInfo(
        voice_id=voice.voice_id,
        settings=Voice(voice.voice_id, "", **settings),
        display_name=voice.name or "",
        language_codes=_language_codes(voice),
        description=voice.description or "",
    )


def _language_codes(voice: elevenlabs.Voice) -> tuple[str, ...]:
    """The voice's own language, then those that the vendor has verified; each once."""
    words = [(voice.labels or {}).get("language") or ""]
    words += [verified.locale or verified.language for verified in voice.verified_languages or []]
    return tuple(dict.fromkeys(word for word in words if LANGUAGE_CODE.fullmatch(word)))
