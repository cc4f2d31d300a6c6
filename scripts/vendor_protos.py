"""Brings the protobuf contracts of others, only what the roots import, from a package registry.

They come in one package of the registry that cargo uses, pinned by version and by the registry's checksum.
`protos/vendor/lock.json` says what came from where; `--check` compares what is committed with the package.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

REPOSITORY = Path(__file__).resolve().parent.parent
VENDOR = Path("protos/vendor")
LOCK = "lock.json"
LICENCE = "LICENSE"

# The contracts this product speaks. Everything else in the folder is what they import.
ROOTS = ("envoy/service/ratelimit/v3/rls.proto",)

PACKAGE, VERSION = "envoy-types", "0.7.7"


@dataclass(frozen=True)
class Project:
    """Where a file was written, before the package carried it.

    Attributes:
        folder: Its folder inside the package; imports are relative to it.
        name: The project.
        licence: SPDX identifier.
    """

    folder: str
    name: str
    licence: str = "Apache-2.0"


PROJECTS = (
    Project("proto/data-plane-api", "envoyproxy/data-plane-api"),
    Project("proto/xds", "cncf/xds"),
    Project("proto/protoc-gen-validate", "bufbuild/protoc-gen-validate"),
    Project("proto/googleapis", "googleapis/googleapis"),
)
# The protobuf compiler brings these itself.
WELL_KNOWN = "google/protobuf/"
IMPORT = re.compile(r'^\s*import\s+(?:public\s+|weak\s+)?"([^"]+)"\s*;', re.MULTILINE)
MANIFEST = f"""[package]
name = "vendored"
version = "0.0.0"
edition = "2021"

[dependencies]
{PACKAGE} = {{ version = "={VERSION}", default-features = false }}

[workspace]
"""


class VendorError(Exception):
    """The package does not hold what the roots need."""


def imports(text: str) -> list[str]:
    """Files that a contract imports, but for those the compiler brings."""
    return [path for path in IMPORT.findall(text) if not path.startswith(WELL_KNOWN)]


def closure(package: Path, roots: tuple[str, ...] = ROOTS) -> dict[str, Project]:
    """The roots and all that they import, each with the project that wrote it."""
    found: dict[str, Project] = {}
    open_paths = list(roots)
    while open_paths:
        path = open_paths.pop()
        if path in found:
            continue
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise VendorError(f"`{path}` leaves the package")
        found[path] = next((one for one in PROJECTS if (package / one.folder / path).is_file()), PROJECTS[0])
        try:
            text = (package / found[path].folder / path).read_text(encoding="utf-8")
        except FileNotFoundError:
            raise VendorError(f"{PACKAGE} {VERSION} holds no `{path}`") from None
        open_paths += imports(text)
    return dict(sorted(found.items()))


def fetch(scratch: Path) -> tuple[Path, str]:
    """The package's directory and the checksum the registry has of it."""
    (scratch / "src").mkdir()
    (scratch / "src" / "lib.rs").touch()
    manifest = scratch / "Cargo.toml"
    manifest.write_text(MANIFEST, encoding="utf-8")
    command = ["cargo", "metadata", "--format-version", "1", "--manifest-path", str(manifest)]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    (package,) = [one for one in json.loads(run.stdout)["packages"] if one["name"] == PACKAGE]
    locked = (scratch / "Cargo.lock").read_text(encoding="utf-8")
    entry = re.search(rf'name = "{PACKAGE}"\n.*?checksum = "([0-9a-f]+)"', locked, re.DOTALL)
    if entry is None:
        raise VendorError(f"the registry gives no checksum of {PACKAGE}")
    return Path(package["manifest_path"]).parent, entry[1]


def vendor(package: Path, checksum: str, out: Path) -> None:
    """Writes the closure, its licence and its lock file into `out`, which is made anew."""
    files = closure(package)
    shutil.rmtree(out, ignore_errors=True)
    lock: dict[str, object] = {
        "package": {"registry": "cargo", "name": PACKAGE, "version": VERSION, "sha256": checksum},
        "roots": list(ROOTS),
        "files": [],
    }
    entries = []
    for path, project in files.items():
        content = (package / project.folder / path).read_bytes()
        target = out / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        entries.append({"path": path, "sha256": digest, "project": project.name, "licence": project.licence})
    lock["files"] = entries
    (out / LOCK).write_text(json.dumps(lock, indent=2) + "\n", encoding="utf-8")
    # All of the projects share one licence; each file names its own holder of the copyright.
    shutil.copyfile(package / "LICENSE", out / LICENCE)


def contents(root: Path) -> dict[str, bytes]:
    """Every file under `root`, by relative path."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def main() -> None:
    """Refreshes the vendored contracts, or compares them with the package."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 on a difference")
    check = parser.parse_args().check
    out = REPOSITORY / VENDOR
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        try:
            package, checksum = fetch(scratch)
            vendor(package, checksum, scratch / "out" if check else out)
        except VendorError as fault:
            sys.exit(f"vendor_protos: {fault}")
        except subprocess.CalledProcessError as fault:
            sys.exit(f"vendor_protos: cargo failed: {fault.stderr.strip()}")
        if check:
            fresh, committed = contents(scratch / "out"), contents(out)
            different = [path for path in fresh | committed if fresh.get(path) != committed.get(path)]
            sys.stdout.writelines(f"{VENDOR / path} is not the package's\n" for path in sorted(different))
            sys.exit(bool(different))


if __name__ == "__main__":
    main()
