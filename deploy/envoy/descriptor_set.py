"""Write the contract as Envoy reads it for JSON: `python deploy/envoy/descriptor_set.py /etc/envoy/avatar.binpb`.

Needs the `dev` extra and no network. `google.rpc.Status` and the details in it are part of it, so that errors become
JSON as well; without them an error has an empty body.
"""

import sys
from pathlib import Path

import google.rpc  # type: ignore[import-untyped]  # a package of protos
from grpc_tools import protoc  # type: ignore[import-untyped]  # grpcio-tools ships no types

PROTOS = Path(__file__).resolve().parents[2] / "protos"
FILES = ("avatar/v1/avatar_service.proto", "google/rpc/status.proto", "google/rpc/error_details.proto")


def write_descriptor_set(path: Path) -> None:
    """Compile the contract with everything that it imports. Raises RuntimeError if that fails."""
    google_protos = Path(next(iter(google.rpc.__path__))).parents[1]
    includes = (PROTOS, google_protos, Path(protoc.__file__).parent / "_proto")
    arguments = ["protoc", *(f"-I{folder}" for folder in includes), "--include_imports", f"--descriptor_set_out={path}"]
    if protoc.main([*arguments, *FILES]) != 0:
        raise RuntimeError("protoc failed; its messages stand above")


if __name__ == "__main__":
    write_descriptor_set(Path(sys.argv[1]))
