"""`avatar-client speak` and `animate`: a text or a voice in, a film of the avatar out."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from avatar_client.animation import AsyncAnimation
from avatar_client.audio_file import AudioFile
from avatar_client.cli.access import client_of
from avatar_client.cli.options import (
    WORDS,
    Avatar,
    Encoding,
    Json,
    Out,
    OutputEncoding,
    Play,
    Server,
    Voice,
    VoiceEncoding,
    errors,
    fail,
    output,
    print_json,
    print_notice,
    run,
)
from avatar_client.client import ADDRESS, AsyncAvatarClient
from avatar_client.errors import FileError
from avatar_client.events import AnimateEvent, Audio, Notice, SpeakEvent
from avatar_client.mp4 import check_writable
from avatar_client.rendering import RenderResult, render
from avatar_client.speech import AsyncSpeech

SPEAK_EXAMPLE = """[bold]Examples[/bold]

avatar-client speak --text "The moon is near." --out moon.mp4

avatar-client speak --file letter.txt --play"""

ANIMATE_EXAMPLE = """[bold]Example[/bold]

avatar-client animate --wav voice.wav --out talking.mp4"""

OpenStream: TypeAlias = Callable[[AsyncAvatarClient], AsyncSpeech | AsyncAnimation]


def speak(
    server: Server = ADDRESS,
    text: Annotated[str | None, typer.Option(metavar="TEXT", help="What the avatar says.")] = None,
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Text file with what it says, UTF-8; - is standard input.")
    ] = None,
    avatar: Avatar = "",
    voice: Voice = "",
    out: Out = None,
    play: Play = False,
    output_encoding: OutputEncoding = Encoding.linear16,
    as_json: Json = False,
) -> None:
    """Have an avatar speak a text.

    As fast as the server makes it, or in real time with --play.

    Exits with 0 only if all of it was spoken and, with --out, recorded.
    """
    if (text is None) == (file is None):
        raise typer.BadParameter("give what to say as either --text TEXT or --file FILE", param_hint="--text / --file")
    words = _read(file) if file else text or ""
    if not words.strip():
        fail(f"{file or '--text'}: there is nothing to say; give 1 to 4,000 characters")

    def open_stream(client: AsyncAvatarClient) -> AsyncSpeech:
        encoding = WORDS[output_encoding]
        return client.speak(words, avatar=avatar, voice=voice, output_encoding=encoding, unpaced=not play)

    _render(server, open_stream, out, play, as_json, None)


def animate(
    server: Server = ADDRESS,
    wav: Annotated[
        Path | None,
        typer.Option("--wav", "--audio", metavar="FILE", help="The voice: WAV, FLAC, MP3 or Ogg; any rate."),
    ] = None,
    avatar: Avatar = "",
    out: Out = None,
    play: Play = False,
    encoding: Annotated[
        VoiceEncoding, typer.Option(help="How the voice is encoded on its way.")
    ] = VoiceEncoding.linear16,
    as_json: Json = False,
) -> None:
    """Have an avatar speak with a voice that you bring.

    As fast as the server makes it, or in real time with --play.

    Exits with 0 only if all of it was animated and, with --out, recorded.
    """
    if wav is None:
        raise typer.BadParameter("give the voice as --wav FILE", param_hint="--wav")
    try:
        audio = AudioFile(wav)
    except FileError as error:
        fail(str(error), error)

    def open_stream(client: AsyncAvatarClient) -> AsyncAnimation:
        return client.animate(audio, avatar=avatar, encoding=WORDS[encoding], unpaced=not play)

    _render(server, open_stream, out, play, as_json, audio.duration_s)


def _render(
    server: str, open_stream: OpenStream, out: Path | None, play: bool, as_json: bool, duration_s: float | None
) -> None:
    """Run one call, show its progress, tell its result; ends the command with status 1 if it failed."""
    if out is None and not play:
        raise typer.BadParameter("give --out FILE.mp4 to record it, or --play to hear it", param_hint="--out / --play")
    started_s = time.monotonic()
    result = run(_take_in(server, open_stream, out, play, as_json, duration_s))
    if as_json:
        print_json(result.to_json())
    elif result.status.code == "OK":
        took_s = time.monotonic() - started_s
        output.print(f"{result.audio_s:.2f} s of voice and {result.frame_count} frames in {took_s:.1f} s")
        if result.path:
            output.print(f"Recorded {result.recorded_s:.2f} s to {result.path}", soft_wrap=True)
    if result.status.code != "OK":
        fail(f"it ended with {result.status.code}: {result.status.message or 'no reason given'}")
    if out and not result.path:
        fail(f"{out} was not written: the service sent no frames and no voice")


async def _take_in(
    server: str, open_stream: OpenStream, out: Path | None, play: bool, as_json: bool, duration_s: float | None
) -> RenderResult:
    if out:
        check_writable(out)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.1f} s"), TimeElapsedColumn())
    disabled = as_json or not errors.is_terminal
    with Progress(*columns, console=errors, transient=True, disable=disabled) as shown:
        bar = shown.add_task("rendering", total=duration_s)
        async with client_of(server) as client:
            stream = open_stream(client)

            def note(event: SpeakEvent | AnimateEvent) -> None:
                match event:
                    case Audio():
                        shown.advance(bar, event.sample_count / stream.media.sample_rate_hz)
                    case Notice() if not as_json:
                        print_notice(event)

            return await render(stream, out=out, play=play, on_event=note)


def _read(file: Path) -> str:
    """The text in a file."""
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        fail(f"{file}: is not text in UTF-8; give a text file", error)
    except OSError as error:
        fail(f"{file}: cannot be read ({error.strerror}); give a text file", error)
