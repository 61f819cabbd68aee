"""Generates `gen/python/batchwire` from `proto/`: clears, regenerates, and with `--check` compares instead of writing.

python gen/generate.py           write
python gen/generate.py --check   fail, and say which files differ, when what is committed is not what would be written
python gen/generate.py --image FILE   write only the descriptor image that the proto lint reads
"""

from __future__ import annotations

import argparse
import filecmp
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from google.protobuf import descriptor_pb2

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
TARGET = ROOT / "gen" / "python" / "batchwire"
SITE_PACKAGES = Path(sysconfig.get_paths()["purelib"])  # googleapis-common-protos ships google/api/*.proto here

MODULE_DOC = '"""The Batchwire protocol, version 1: every message, enum, stub and servicer of `proto/batchwire/v1`."""'


def protoc(*arguments: str, pattern: str = "*.proto") -> None:
    """Runs the pinned protoc over the files of `proto/` that match. Raises CalledProcessError when it refuses one."""
    sources = [str(path.relative_to(PROTO)) for path in sorted(PROTO.rglob(pattern))]
    includes = [f"-I{PROTO}", f"-I{SITE_PACKAGES}"]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *includes, *arguments, *sources], check=True)


def exports(image: Path) -> list[str]:
    """Returns the import lines of `batchwire.v1`: all that its files declare, and nothing that they import."""
    lines = []
    for file in descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes()).file:
        if file.package != "batchwire.v1":
            continue
        values = [value.name for enum in file.enum_type for value in enum.value]
        names = [message.name for message in file.message_type] + [enum.name for enum in file.enum_type] + values
        services = [service.name for service in file.service]
        module = file.name.removesuffix(".proto").replace("/", ".") + "_pb2"
        lines.append((module, names))
        if services:
            grpc_names = [name for s in services for name in (f"{s}Servicer", f"{s}Stub", f"add_{s}Servicer_to_server")]
            lines.append((f"{module}_grpc", grpc_names))
    return [f"from {module} import {name} as {name}" for module, names in sorted(lines) for name in sorted(names)]


def generate(out: Path) -> None:
    """Writes the package `batchwire` below `out`, whatever was there before."""
    shutil.rmtree(out / "batchwire", ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    # mypy-protobuf's plug-ins are console scripts beside the interpreter.
    scripts = Path(sys.executable).parent
    with tempfile.NamedTemporaryFile(suffix=".binpb") as image:
        protoc(
            f"--plugin=protoc-gen-mypy={scripts / 'protoc-gen-mypy'}",
            f"--python_out={out}",
            f"--mypy_out=quiet:{out}",
            f"--descriptor_set_out={image.name}",
        )
        protoc(
            f"--plugin=protoc-gen-mypy_grpc={scripts / 'protoc-gen-mypy_grpc'}",
            f"--grpc_python_out={out}",
            f"--mypy_grpc_out=quiet:{out}",
            pattern="*_service.proto",
        )
        lines = exports(Path(image.name))
    (out / "batchwire" / "v1" / "__init__.py").write_text("\n".join([MODULE_DOC, "", *lines, ""]))
    (out / "batchwire" / "py.typed").touch()


def differences(left: Path, right: Path) -> list[str]:
    """Names the files that are missing on either side or differ."""
    names = {
        path.relative_to(root) for root in (left, right) for path in root.rglob("*") if path.suffix in {".py", ".pyi"}
    }
    return [
        str(name)
        for name in sorted(names)
        if not (
            (left / name).exists() and (right / name).exists() and filecmp.cmp(left / name, right / name, shallow=False)
        )
    ]


def main() -> int:
    """Parses the command line and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--image", type=Path)
    arguments = parser.parse_args()
    if arguments.image:
        arguments.image.parent.mkdir(parents=True, exist_ok=True)
        protoc(f"--descriptor_set_out={arguments.image}", "--include_imports", "--include_source_info")
        return 0
    if not arguments.check:
        generate(TARGET.parent)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        stale = differences(Path(scratch) / "batchwire", TARGET)
    if stale:
        print("generated code is stale; run `make gen` and commit:", *stale, sep="\n  ", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
