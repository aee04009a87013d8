"""The contract keeps its own rules: lint, comments, types, imports, and generated code that is up to date."""

import importlib
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import grpc
import pytest
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

import avatar.v1
from avatar.v1 import (
    Code,
    ConverseConfig,
    ConverseRequest,
    ConverseResponse,
    ErrorInfo,
    Frame,
    PlaybackReport,
    Status,
    TurnMetrics,
    avatar_service_pb2,
)

PROTOS = Path(__file__).resolve().parents[3] / "protos"
BUF = Path(sysconfig.get_path("scripts")) / "buf"
UNSIGNED = {
    FieldDescriptorProto.TYPE_UINT32,
    FieldDescriptorProto.TYPE_UINT64,
    FieldDescriptorProto.TYPE_FIXED32,
    FieldDescriptorProto.TYPE_FIXED64,
}


def buf(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([str(BUF), *arguments], cwd=PROTOS, capture_output=True, timeout=60)


@cache
def files() -> list[FileDescriptorProto]:
    """The contract's own files with their comments, as buf compiles them."""
    image = buf("build", "--as-file-descriptor-set", "-o", "-#format=binpb")
    assert image.returncode == 0, image.stderr.decode()
    every = FileDescriptorSet.FromString(image.stdout).file
    return [file for file in every if file.package == "avatar.v1"]


def messages() -> Iterator[DescriptorProto]:
    for file in files():
        yield from (message for message in file.message_type if not message.options.map_entry)


def enums() -> Iterator[EnumDescriptorProto]:
    for file in files():
        yield from file.enum_type


def elements(file: FileDescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    """Path and name of everything in `file` that can carry a comment; path numbers are those of descriptor.proto."""
    for i, service in enumerate(file.service):
        yield (6, i), service.name
        yield from (((6, i, 2, j), f"{service.name}.{rpc.name}") for j, rpc in enumerate(service.method))
    for i, message in enumerate(file.message_type):
        yield (4, i), message.name
        yield from (((4, i, 2, j), f"{message.name}.{field.name}") for j, field in enumerate(message.field))
    for i, enum in enumerate(file.enum_type):
        yield (5, i), enum.name
        yield from (((5, i, 2, j), value.name) for j, value in enumerate(enum.value))


def comments() -> Iterator[tuple[str, str]]:
    """Name and comment of every element."""
    for file in files():
        written = {tuple(place.path): place.leading_comments for place in file.source_code_info.location}
        yield from ((name, written.get(path, "").strip()) for path, name in elements(file))


@pytest.mark.parametrize("arguments", [("lint",), ("format", "--diff", "--exit-code")], ids=lambda a: a[0])
def test_buf_is_content(arguments: tuple[str, ...]) -> None:
    checked = buf(*arguments)
    assert checked.returncode == 0, (checked.stdout + checked.stderr).decode()


def test_the_generated_code_is_up_to_date() -> None:
    checked = subprocess.run(
        [sys.executable, str(PROTOS / "generate.py"), "--check"], capture_output=True, text=True, timeout=60
    )
    assert checked.returncode == 0, checked.stderr


def test_generating_names_what_is_out_of_date(tmp_path: Path) -> None:
    copy = tmp_path / "protos"
    (copy / "avatar" / "v1").mkdir(parents=True)
    for source in PROTOS.rglob("*"):
        if source.is_file() and "__pycache__" not in source.parts:
            (copy / source.relative_to(PROTOS)).write_bytes(source.read_bytes())
    (copy / "avatar" / "v1" / "media_pb2.pyi").write_text("stale")
    command = [sys.executable, str(copy / "generate.py")]
    checked = subprocess.run([*command, "--check"], capture_output=True, text=True, timeout=60)
    assert checked.returncode == 1
    assert checked.stderr == "avatar/v1/media_pb2.pyi is not up to date: run `python protos/generate.py`\n"
    assert subprocess.run(command, timeout=60).returncode == 0
    assert subprocess.run([*command, "--check"], timeout=60).returncode == 0


def test_every_element_has_a_sentence_as_comment() -> None:
    summaries = ((name, text.split("\n\n")[0]) for name, text in comments())
    bad = [name for name, summary in summaries if not re.fullmatch(r"[A-Z`].*\.", summary, re.DOTALL)]
    assert bad == []
    assert len(list(comments())) > 300


def test_every_field_of_a_configuration_says_whether_it_must_be_set() -> None:
    names = re.compile(r"(\w*Config|AudioFormat|FrameFormat|User\w+|Say|Resume|SpeakRequest|Tool|ToolResult)\.\w+")
    bad = [name for name, text in comments() if names.fullmatch(name) and not re.match(r"(Required|Optional)\. ", text)]
    assert bad == []


def test_every_optional_field_says_its_default() -> None:
    bad = [name for name, text in comments() if text.startswith("Optional. ") and "efault" not in text]
    # An absent field of an update changes nothing.
    assert [name for name in bad if not name.startswith("ConfigUpdate.")] == []


def test_no_field_is_unsigned() -> None:
    bad = [
        f"{message.name}.{field.name}" for message in messages() for field in message.field if field.type in UNSIGNED
    ]
    assert bad == []


def test_no_enum_has_a_zero_that_means_something() -> None:
    assert [enum.name for enum in enums() if not enum.value[0].name.endswith("_UNSPECIFIED")] == []
    assert [enum.name for enum in enums() if enum.value[0].number != 0] == []


def test_nothing_but_protobufs_own_types_is_imported() -> None:
    imports = {name for file in files() for name in file.dependency}
    assert {name for name in imports if not name.startswith(("avatar/v1/", "google/protobuf/"))} == set()


def test_media_and_the_usual_requests_have_one_byte_tags() -> None:
    for message, payloads in (
        (ConverseRequest, ("audio", "playback_report")),
        (ConverseResponse, ("audio", "frame", "transcript", "reply_text", "spoken_text")),
        (Frame, ("turn_id", "index", "offset", "data")),
    ):
        numbers = message.DESCRIPTOR.fields_by_name
        assert all(numbers[name].number <= 15 for name in payloads), message.DESCRIPTOR.name


def test_every_message_and_enum_is_exported() -> None:
    names = {element.name for kind in (messages(), enums()) for element in kind}
    assert names <= set(avatar.v1.__all__)
    assert all(hasattr(avatar.v1, name) for name in avatar.v1.__all__)


def test_every_generated_module_loads_with_its_descriptors() -> None:
    for file in files():
        module = importlib.import_module(file.name.removesuffix(".proto").replace("/", ".") + "_pb2")
        assert module.DESCRIPTOR.package == "avatar.v1"
        assert sorted(module.DESCRIPTOR.message_types_by_name) == sorted(message.name for message in file.message_type)


def test_the_service_has_its_calls_and_their_directions() -> None:
    service = avatar_service_pb2.DESCRIPTOR.services_by_name["AvatarService"]
    directions = {
        method.name: (method.client_streaming, method.server_streaming) for method in service.methods_by_name.values()
    }
    unary = dict.fromkeys(("ListAvatars", "GetAvatar", "DeleteAvatar", "ListVoices", "GetServerInfo"), (False, False))
    assert directions == unary | {
        "Converse": (True, True),
        "Animate": (True, True),
        "Speak": (False, True),
        "CreateAvatar": (True, False),
    }


def test_codes_of_failure_are_those_of_grpc() -> None:
    numbers = {code.name: code.value[0] for code in grpc.StatusCode if code is not grpc.StatusCode.OK}
    assert {name: Code.Value(f"CODE_{name}") for name in numbers} == numbers


def test_a_status_can_be_read_as_the_one_that_grpc_libraries_know() -> None:
    """`google.rpc.Status` is {int32 code = 1; string message = 2; repeated Any details = 3}."""
    status = Status(code=Code.CODE_NOT_FOUND, message="no such avatar")
    status.details.add().Pack(ErrorInfo(reason="AVATAR_NOT_FOUND"))
    fields = {field.number: field for field in Status.DESCRIPTOR.fields}
    assert [(fields[number].name, fields[number].is_repeated) for number in (1, 2, 3)] == [
        ("code", False),
        ("message", False),
        ("details", True),
    ]
    assert fields[3].message_type.full_name == "google.protobuf.Any"
    assert status.SerializeToString().startswith(b"\x08\x05\x12\x0eno such avatar\x1a")


def test_absent_and_zero_can_be_told_apart_where_it_matters() -> None:
    assert not TurnMetrics().HasField("transcription_time_ms")
    assert TurnMetrics(transcription_time_ms=0).HasField("transcription_time_ms")
    assert not ConverseConfig().HasField("idle_frames")
    assert not ConverseConfig().voice.settings.HasField("style")
    assert not PlaybackReport().HasField("position")


def test_the_tests_run_on_the_protos_of_this_checkout() -> None:
    assert Path(os.path.realpath(avatar.v1.__file__)).is_relative_to(PROTOS)
