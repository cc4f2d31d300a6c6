"""The vendored contracts are the import closure of the roots, unchanged, with their licence."""

from __future__ import annotations

import hashlib
import json
import runpy
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
VENDOR = REPOSITORY / "protos" / "vendor"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    """The script that brings the contracts."""
    return runpy.run_path(str(REPOSITORY / "scripts" / "vendor_protos.py"))


@pytest.fixture(scope="module")
def lock() -> dict[str, Any]:
    """What came from where."""
    found = json.loads((VENDOR / "lock.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def test_each_file_is_as_it_was_brought(lock: dict[str, Any]) -> None:
    """Nothing was changed, added or lost by hand."""
    wanted = {one["path"]: one["sha256"] for one in lock["files"]}
    found = {
        path.relative_to(VENDOR).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.rglob("*.proto")
    }
    assert found == wanted
    others = {path.name for path in VENDOR.rglob("*") if path.is_file() and path.suffix != ".proto"}
    assert others == {"lock.json", "LICENSE"}


def test_files_are_what_the_roots_import_and_no_more(script: dict[str, Any], lock: dict[str, Any]) -> None:
    """Another service of Envoy's adds what it needs; nothing lies there for later."""
    assert lock["roots"] == list(script["ROOTS"])
    reached: set[str] = set()
    waiting = list(lock["roots"])
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached.add(path)
            waiting += script["imports"]((VENDOR / path).read_text(encoding="utf-8"))
    assert reached == {one["path"] for one in lock["files"]}


def test_each_file_names_its_holder_and_licence(lock: dict[str, Any]) -> None:
    """A licence that wants its notice kept is kept."""
    assert "Apache License" in (VENDOR / "LICENSE").read_text(encoding="utf-8")
    for one in lock["files"]:
        head = (VENDOR / one["path"]).read_text(encoding="utf-8")[:1200]
        assert "Copyright" in head, one["path"]
        assert "Apache License, Version 2.0" in head, one["path"]
        assert one["licence"] == "Apache-2.0"


def test_package_is_the_pinned_one(script: dict[str, Any], lock: dict[str, Any]) -> None:
    """The script and the lock file speak of one version."""
    package = lock["package"]
    assert (package["name"], package["version"]) == (script["PACKAGE"], script["VERSION"])
    assert len(package["sha256"]) == 64


@pytest.mark.parametrize("path", ["../outside.proto", "/etc/hosts", "missing.proto"])
def test_import_that_the_package_does_not_hold_is_refused(
    script: dict[str, Any], tmp_path: Path, path: str
) -> None:
    """A closure is whole and inside of the package, or there is none."""
    root = tmp_path / "proto" / "data-plane-api"
    root.mkdir(parents=True)
    (root / "root.proto").write_text(f'import "{path}";\n')
    with pytest.raises(Exception, match=r"leaves the package|holds no"):
        script["closure"](tmp_path, ("root.proto",))
