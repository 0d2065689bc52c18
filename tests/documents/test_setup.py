"""`scripts/setup` on machines that lack something: one line that says what to type, and nothing half made."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("bash", "cat", "sha256sum", "dirname", "id", "flock", "grep", "rm", "mkdir", "ln", "env")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with a PATH of its own, without apt and sudo."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    for name in ("requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        (tmp_path / "bin" / tool).symlink_to(str(shutil.which(tool)))
    return tmp_path


def _python(checkout: Path, script: str) -> None:
    file = checkout / "bin" / "python3"
    file.write_text(f'#!/bin/bash\n{script}\nexec {sys.executable} "$@"\n', encoding="utf-8")
    file.chmod(0o755)


def _setup(checkout: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(checkout / "bin"), "LANG": "C.UTF-8", "HOME": os.environ.get("HOME", "/")}
    return subprocess.run(
        [checkout / "scripts" / "setup"], env=environment, capture_output=True, text=True, check=False
    )


def test_without_python(checkout: Path) -> None:
    done = _setup(checkout)
    assert done.returncode == 1
    assert "apt-get install -y python3" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_with_an_old_python(checkout: Path) -> None:
    _python(checkout, 'case "$2" in *"(3, 11)"*) exit 1;; esac')
    done = _setup(checkout)
    assert done.returncode == 1
    assert "3.11" in done.stderr
    assert not (checkout / ".venv").exists()


def test_without_venv_and_without_the_right_to_install(checkout: Path) -> None:
    _python(checkout, 'case "$2" in *ensurepip*) exit 1;; esac')
    done = _setup(checkout)
    assert done.returncode == 1
    assert "apt-get install -y python3-venv" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (checkout / ".venv").exists()


def test_an_interrupted_setup_is_made_anew(checkout: Path) -> None:
    """Pip is replaced by one that fails once: the stamp is missing, and the next run goes through and is then quick."""
    _python(
        checkout,
        'if [ "$2" = venv ]; then mkdir -p .venv/bin; cat >.venv/bin/python <<"END"\n#!/bin/bash\n'
        'echo "$@" >>calls\n'
        'case "$*" in *require-hashes*) if [ ! -e failed ]; then echo >failed; exit 1; fi;; esac\n'
        f'case "$1" in -c) exec {sys.executable} "$@";; esac\nEND\n'
        f"{shutil.which('chmod')} +x .venv/bin/python; exit 0; fi",
    )
    assert _setup(checkout).returncode == 1
    assert not (checkout / ".venv" / "ready").exists()
    assert _setup(checkout).returncode == 0
    assert (checkout / ".venv" / "ready").exists()
    calls = (checkout / "calls").read_text(encoding="utf-8")
    assert "--require-hashes -r requirements.lock" in calls
    assert "--no-deps --no-build-isolation --editable ." in calls
    assert _setup(checkout).returncode == 0
    assert (checkout / "calls").read_text(encoding="utf-8") == calls


def test_no_document_or_lock_names_an_index() -> None:
    for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines():
        assert not line.startswith(("-i", "--index", "--extra", "--find-links", "--trusted")), line
