"""All configuration of the service, read once at start from the environment and `.env`.

Each section is a frozen class; the sentence under a field says what it does. Names the project inherited
(`OPENAI_API_KEY`, `ELEVENLABS_VOICE_ID`, ...) work beside `AVATAR_*`; an unknown `AVATAR_*` name is refused,
since it is a typing error that would otherwise go unnoticed. Only this module reads the environment.
"""

import difflib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, get_type_hints

from dotenv.parser import parse_stream
from pydantic import SecretStr, ValidationError

from avatar_service.errors import StartupError
from avatar_service.settings.access import AccessSettings
from avatar_service.settings.limits import LimitSettings
from avatar_service.settings.lip_sync import LipSyncSettings, PreparationSettings, TritonSettings
from avatar_service.settings.second import SecondElevenLabsSettings, SecondOpenAISettings
from avatar_service.settings.section import Section
from avatar_service.settings.service import ServerSettings, SessionSettings, TracingSettings
from avatar_service.settings.types import split_address
from avatar_service.settings.vendors import ElevenLabsSettings, OpenAISettings

__all__ = [
    "AccessSettings",
    "ElevenLabsSettings",
    "LimitSettings",
    "LipSyncSettings",
    "OpenAISettings",
    "PreparationSettings",
    "SecondElevenLabsSettings",
    "SecondOpenAISettings",
    "Section",
    "ServerSettings",
    "SessionSettings",
    "Settings",
    "TracingSettings",
    "TritonSettings",
    "names_in",
    "setting_names",
]


CLIENTS_NAMES = frozenset({"AVATAR_TOKEN", "AVATAR_API_KEY"})
"""What `avatar-client` reads of an environment that it may share with the service."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the service can be told."""

    server: ServerSettings
    openai: OpenAISettings
    elevenlabs: ElevenLabsSettings
    second_openai: SecondOpenAISettings
    second_elevenlabs: SecondElevenLabsSettings
    triton: TritonSettings
    lip_sync: LipSyncSettings
    limits: LimitSettings
    preparation: PreparationSettings
    sessions: SessionSettings
    tracing: TracingSettings
    access: AccessSettings

    @classmethod
    def load(cls, env_file: Path | None = Path(".env")) -> Self:
        """Read the environment, and `env_file` where it exists. Raises StartupError naming what is wrong."""
        _refuse_unknown_names({*(os.environ.keys() - CLIENTS_NAMES), *names_in(env_file)})
        try:
            sections = {name: section(_env_file=env_file) for name, section in get_type_hints(cls).items()}
        except ValidationError as error:
            raise StartupError(_reasons(error)) from None
        return cls(**sections)

    def listening_on(self, address: str) -> Self:
        """These settings with another address to listen on. Raises StartupError if it is none."""
        try:
            split_address(address)
        except ValueError as error:
            raise StartupError(f"--listen: {error}, such as 127.0.0.1:50051") from error
        return replace(self, server=self.server.model_copy(update={"listen": address}))

    def with_workers(self, workers: int) -> Self:
        """These settings with another number of processes."""
        return replace(self, server=self.server.model_copy(update={"workers": workers}))

    def with_metrics_on(self, address: str, *, unless_set: bool = False) -> Self:
        """These settings with another address for metrics, empty for none; `unless_set` leaves a chosen one alone."""
        if unless_set and "metrics_listen" in self.server.model_fields_set:
            return self
        return replace(self, server=self.server.model_copy(update={"metrics_listen": address}))

    def without_second_engines(self) -> Self:
        """These settings where each stage has one engine."""
        return replace(
            self,
            second_openai=SecondOpenAISettings.model_construct(),
            second_elevenlabs=SecondElevenLabsSettings.model_construct(),
        )

    def require_vendors(self) -> None:
        """Raise StartupError unless each vendor, and each second engine that is named, has a key or a base URL."""
        for name, vendor in (("OPENAI", self.openai), ("ELEVENLABS", self.elevenlabs)):
            if not (vendor.api_key.get_secret_value() or vendor.base_url):
                raise StartupError(
                    f"{name}_API_KEY and {name}_BASE_URL are both unset: give a key for the vendor itself, or the "
                    "address of a server that speaks its protocol; `avatar-service up` needs neither"
                )
        for name, second in (("OPENAI", self.second_openai), ("ELEVENLABS", self.second_elevenlabs)):
            if any(second.model_dump(exclude={"api_key", "base_url"}).values()) and not second.wanted:
                raise StartupError(
                    f"AVATAR_SECOND_{name}_API_KEY and AVATAR_SECOND_{name}_BASE_URL are both unset, so the other "
                    f"settings AVATAR_SECOND_{name}_* mean nothing: give one of the two, or none of them"
                )


def names_in(env_file: Path | None) -> list[str]:
    """The names that the file sets. Raises StartupError if it cannot be read or has a line that is no setting."""
    if env_file is None or not env_file.is_file():
        return []
    try:
        with env_file.open(encoding="utf-8") as lines:
            bindings = list(parse_stream(lines))
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(f"{env_file}: cannot be read ({type(error).__name__}); it must be a UTF-8 text") from error
    if wrong := [binding.original.line for binding in bindings if binding.error]:
        raise StartupError(f"{env_file}: line {wrong[0]} is not NAME=VALUE")
    return [binding.key for binding in bindings if binding.key]


def setting_names() -> set[str]:
    """Every name that is read."""
    return set(_fields())


def _fields() -> dict[str, Any]:
    """Every setting's field by each of its names."""
    return {
        alias: field
        for section in get_type_hints(Settings).values()
        for field in section.model_fields.values()
        for alias in field.validation_alias.choices
    }


def _reasons(error: ValidationError) -> str:
    """What is wrong with which setting, in one line; never its value, which may be a key."""
    fields = _fields()
    reasons = []
    for fault in error.errors():
        field = fields[str(fault["loc"][0])]
        names = " or ".join(field.validation_alias.choices)
        limits = {name: _shown(limit) for name, limit in fault.get("ctx", {}).items()}
        reason = _reason(fault["type"], limits, fault["msg"])
        default = "" if field.default is None or isinstance(field.default, SecretStr) else _shown(field.default)
        reasons.append(f"{names}: {reason}{default and f'; unset, it is {default}'}")
    return "; ".join(reasons)


def _shown(value: object) -> str:
    """A limit or a default as one would write it."""
    return str(value).lower() if isinstance(value, bool) else str(value).removesuffix(".0")


def _reason(kind: str, limits: dict[str, str], message: str) -> str:
    """Pydantic's fault in the words of docs/settings.md."""
    known = {
        "greater_than": "must be above {gt}",
        "greater_than_equal": "must be at least {ge}",
        "less_than_equal": "must be at most {le}",
        "literal_error": "must be {expected}",
        "string_too_short": "must not be empty",
        "string_too_long": "must have at most {max_length} characters",
        "int_parsing": "must be a whole number",
        "int_from_float": "must be a whole number",
        "float_parsing": "must be a number",
        "finite_number": "must be a number that is not infinite",
        "bool_parsing": "must be true or false",
        "string_pattern_mismatch": "is none of the values that docs/settings.md lists",
    }
    return known[kind].format(**limits) if kind in known else message.removeprefix("Value error, ")


def _refuse_unknown_names(names: set[str]) -> None:
    known = _fields()
    if unknown := sorted(name for name in names if name.startswith("AVATAR_") and name not in known):
        close = difflib.get_close_matches(unknown[0], known, n=1)
        meant = f"did you mean {close[0]}? " if close else ""
        raise StartupError(f"unknown setting {', '.join(unknown)}; {meant}docs/settings.md lists every name")
