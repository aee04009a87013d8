"""What all sections of the settings have in common."""

from pydantic import AliasChoices
from pydantic_settings import BaseSettings, SettingsConfigDict


class Section(BaseSettings):
    """A part of the settings, read from the environment and `.env` by the names that its fields give."""

    model_config = SettingsConfigDict(
        frozen=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        extra="ignore",
        populate_by_name=True,
        # Names come from the aliases alone: without a prefix a field's bare name, such as MODEL, would be read as well.
        env_prefix="AVATAR_UNNAMED_",
    )


def named(*names: str) -> AliasChoices:
    """The names of a field, the first of them ours."""
    return AliasChoices(*names)
