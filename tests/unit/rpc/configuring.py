"""Configurations as a server of two avatars parses them."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

from avatar.v1 import ConverseConfig
from avatar_service.avatars.catalogue import Catalogue
from avatar_service.rpc.config_from_proto import ConfigParser
from avatar_service.rpc.configuration import Configuration
from avatar_service.settings import Settings
from tests.scenario import AVATAR

AVATARS = {
    "ada": AVATAR,
    "bo": replace(AVATAR, avatar_id="bo", display_name="Bo"),
    "tall": replace(AVATAR, avatar_id="tall", height=768),
    "quick": replace(AVATAR, avatar_id="quick", fps=Fraction(30)),
}
"""Two of one size and frame rate, and two that differ from them."""


def parser() -> ConfigParser:
    """The default settings, a voice of 24 kHz."""
    return ConfigParser(Settings.load(env_file=None), Catalogue(AVATARS, "ada", None), 24_000)


def configured(**fields: Any) -> Configuration:
    """The configuration of a session that was asked for these fields of ConverseConfig."""
    return Configuration(ConverseConfig(**fields), parser())
