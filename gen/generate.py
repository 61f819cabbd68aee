"""Generate `gen/python/batchwire` from `proto/batchwire`.

python gen/generate.py           clear the package and write it anew
python gen/generate.py --check   write nothing; list the committed files that are stale; fail if any
"""

from __future__ import annotations

import argparse
import filecmp
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf import descriptor_pb2

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
TARGET = ROOT / "gen" / "python" / "batchwire"

MODULE_DOC = '"""The Batchwire protocol, version 1: every message, enum, stub and servicer of `proto/batchwire/v1`."""'


def protoc(*arguments: str, pattern: str = "*.proto") -> None:
    """Run the pinned protoc over the files of `proto/batchwire` whose names match `pattern`.

    `proto/google` is only imported: `googleapis-common-protos` has the code generated from it.

    Raises:
        CalledProcessError: protoc refused a file; it has printed why.
    """
    sources = [str(path.relative_to(PROTO)) for path in sorted((PROTO / "batchwire").rglob(pattern))]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO}", *arguments, *sources], check=True)


def exports(image: Path) -> list[str]:
    """Return the import lines of `batchwire/v1/__init__.py`, one for each declared name."""
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
    """Replace the package `batchwire` below `out` with a newly generated one."""
    shutil.rmtree(out / "batchwire", ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    # The plug-ins of mypy-protobuf are console scripts in the interpreter's directory, which the
    # PATH may lack.
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
    """Return the Python files and stubs that differ, or that only one of the folders has."""
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
    """Parse the command line, generate or check, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    arguments = parser.parse_args()
    if not arguments.check:
        generate(TARGET.parent)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        stale = differences(Path(scratch) / "batchwire", TARGET)
    if stale:
        print("generated code is stale; run `make gen` and commit these files:", *stale, sep="\n  ", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
