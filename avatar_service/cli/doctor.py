"""`avatar-service doctor`: what is wrong, and how to mend it."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from avatar_service.cli.running import run
from avatar_service.doctor import files, machine, vendors
from avatar_service.doctor.access import access
from avatar_service.doctor.lip_sync import triton
from avatar_service.doctor.report import Check, Finding, Verdict, examine, failed
from avatar_service.doctor.store import store
from avatar_service.engines.vendor import ELEVENLABS, OPENAI, SECOND_ELEVENLABS, SECOND_OPENAI, Vendor
from avatar_service.errors import AvatarError, StartupError
from avatar_service.log import set_up
from avatar_service.settings import ElevenLabsSettings, OpenAISettings, Settings

QUICK_S, RENDER_S, DEEP_S = 6.0, 10.0, 20.0
"""Deadlines of a check: most answer within a second, a large model renders slowly, a vendor may be slow to write."""
COLOURS = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.FAILED: "red"}


def doctor(
    deep: Annotated[bool, typer.Option(help="Also ask the vendors for one token and one spoken word.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of lines.")] = False,
) -> None:
    """Check settings, credentials, vendors, Triton, the store of sessions, weights and avatars, as `serve` uses them.

    One line each: ok, warning or failed, and how to mend it. Exits with 0 only if nothing failed. Costs nothing
    without --deep.

    Example: avatar-service doctor --deep
    """
    run(_doctor(deep, as_json))


async def _doctor(deep: bool, as_json: bool) -> None:
    set_up("ERROR", "console")
    findings = await examine(_checks(deep))
    if as_json:
        sound = all(finding.verdict is not Verdict.FAILED for finding in findings)
        print(json.dumps({"ok": sound, "checks": [asdict(finding) for finding in findings]}, indent=1))
    else:
        _show(findings)
    if count := sum(finding.verdict is Verdict.FAILED for finding in findings):
        raise AvatarError(f"{count} of {len(findings)} checks failed")


def _checks(deep: bool) -> list[Check]:
    """Everything to look at; without settings that can be read, only what needs none."""
    checks = [
        _here("python", lambda: [machine.python()]),
        _here("packages", lambda: [machine.packages()]),
        _here("weights", lambda: [files.weights()]),
    ]
    try:
        settings = Settings.load()
    except StartupError as error:
        wrong = failed("settings", str(error), "correct it in the environment or in .env")
        return [*checks, _here("settings", lambda: [wrong])]
    return [*checks, *_of_settings(settings), *_of_vendors(settings, deep)]


def _of_settings(settings: Settings) -> list[Check]:
    server = settings.server
    return [
        _here("settings", machine.settings_found),
        _here("time-outs", lambda: machine.time_outs(settings)),
        _here("port", lambda: [machine.port("port", "AVATAR_LISTEN", server.listen)]),
        _here("metrics port", lambda: [machine.port("metrics port", "AVATAR_METRICS_LISTEN", server.metrics_listen)]),
        _here("avatars", lambda: files.avatars(server, settings.preparation)),
        Check("access", lambda: access(settings), QUICK_S, "does the issuer of tokens answer?"),
        Check("sessions", lambda: store(settings.sessions), QUICK_S, "is Redis overloaded?"),
        Check("triton", lambda: triton(settings, RENDER_S / 2), RENDER_S, "restart Triton; see its log"),
    ]


def _of_vendors(settings: Settings, deep: bool) -> list[Check]:
    """Requests to each vendor; one that is not set up at all is not asked."""
    limits = settings.limits
    try:
        settings.require_vendors()
    except StartupError as error:
        missing = failed("vendors", str(error), "put the keys into .env")
        return [_here("vendors", lambda: [missing])]
    network = "check network, proxy and base URL"
    checks = []
    for openai, vendor in _openai_accounts(settings):
        look = partial(vendors.openai_key_and_models, openai, limits, vendor)
        checks.append(Check(vendor.engine, look, QUICK_S, network))
        if deep:
            checks.append(Check("chat request", partial(vendors.openai_deep, openai, limits, vendor), DEEP_S, network))
    for elevenlabs, vendor in _elevenlabs_accounts(settings):
        look = partial(vendors.elevenlabs_key_voice_and_model, elevenlabs, limits, vendor)
        checks.append(Check(vendor.engine, look, QUICK_S, network))
        if deep:
            ask = partial(vendors.elevenlabs_deep, elevenlabs, limits, vendor)
            checks.append(Check("speech request", ask, DEEP_S, network))
    return checks


def _openai_accounts(settings: Settings) -> list[tuple[OpenAISettings, Vendor]]:
    """The first engine's, and the second's where there is one."""
    first, second = settings.openai, settings.second_openai
    if not second.wanted:
        return [(first, OPENAI)]
    models = {
        "chat_model": second.chat_model or first.chat_model,
        "transcription_model": second.transcription_model or first.transcription_model,
    }
    return [(first, OPENAI), (second.instead_of(first).model_copy(update=models), SECOND_OPENAI)]


def _elevenlabs_accounts(settings: Settings) -> list[tuple[ElevenLabsSettings, Vendor]]:
    """The first engine's, and the second's where there is one."""
    first, second = settings.elevenlabs, settings.second_elevenlabs
    if not second.wanted:
        return [(first, ELEVENLABS)]
    voice = {"voice_id": second.voice_id or first.voice_id, "model": second.model or first.model}
    return [(first, ELEVENLABS), (second.instead_of(first).model_copy(update=voice), SECOND_ELEVENLABS)]


def _here(subject: str, look: Callable[[], Sequence[Finding]]) -> Check:
    """A check of this machine, in a thread: reading large files would hold up the others."""

    async def in_thread() -> Sequence[Finding]:
        return await asyncio.to_thread(look)

    return Check(subject, in_thread, QUICK_S, "is the disk slow, or its file system hanging?")


def _show(findings: Sequence[Finding]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    width = max(len(finding.subject) for finding in findings)
    for finding in findings:
        mend = f" -> {finding.mend}" if finding.mend else ""
        console.print(
            Text(f"{finding.verdict:<8}", COLOURS[finding.verdict]),
            Text(f"{finding.subject:<{width}}  {finding.detail}{mend}"),
        )
