"""What the documents say is so: generated parts are fresh, links lead somewhere, commands exist and run."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from federation.envelope import TYPES
from node.demo.stage import free_ports
from node.exchange.api import router as exchange
from node.exchange.membership_api import router as membership
from tests.documents.generated import ROOT, codes, documents, find_command, groups, leaves
from tests.forked import Forked, environment

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")])
FENCE = re.compile(r"(<!-- run -->\n)?```(?:sh|bash)\n(.*?)```", re.DOTALL)
COMMANDS = {"init", "serve", "user", "data", "indicators", "release", "notice", "peer", "sync", "query", "verify",
            "record", "doctor", "demo", "key", "bundle", "audit"}  # fmt: skip
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
THEIR_HOSTS = ("pypi.org", "pythonhosted.org", "npmjs", "files.python", "pypi.tuna", "mirrors.aliyun")


def _commands(text: str) -> list[list[str]]:
    """Return the words after `gonghui` of every command line in a shell block."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        try:
            words = shlex.split(line.partition("  #")[0], comments=True)
        except ValueError:
            continue
        places = [place for place, word in enumerate(words) if word.rsplit("/", 1)[-1] == "gonghui"]
        rest = words[places[-1] + 1 :] if places else []
        end = next((i for i, word in enumerate(rest) if word in {"|", "&&", ">", "2>&1", "&", ";"}), len(rest))
        if any(word in COMMANDS for word in rest[:end]):
            found.append([word for word in rest[:end] if word not in {"$HUB", "$COLLEGE"}])
    return found


def _blocks(page: Path) -> list[tuple[bool, str]]:
    return [(bool(mark), text) for mark, text in FENCE.findall(page.read_text(encoding="utf-8"))]


def _not_there_yet(words: list[str]) -> bool:
    """Tell whether the command is one that the program will have and has not: a group without commands, or no name."""
    there = {words[0] for words, _ in leaves()}
    return next((word not in there or (word,) in groups() for word in words if word in COMMANDS), False)


@pytest.mark.parametrize("path", sorted(documents()), ids=lambda path: path.name)
def test_generated_parts_are_fresh(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == documents()[path], "run: make documents"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if not target.startswith(("http:", "https:")):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_options_in_documents_exist(page: Path) -> None:
    for _, block in _blocks(page):
        for words in _commands(block):
            if _not_there_yet(words):
                continue
            command, rest = find_command(words)
            assert command is not None, f"{page.name}: gonghui {' '.join(words)}"
            known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
            for word in rest:
                if word.startswith("--"):
                    assert word.partition("=")[0] in known, f"{page.name}: gonghui {' '.join(words)}"


@pytest.mark.parametrize("words", [words for words, _ in leaves()], ids=" ".join)
def test_every_command_shows_an_example(words: tuple[str, ...]) -> None:
    command = next(command for found, command in leaves() if found == words)
    told = f"{command.help} {command.epilog or ''}"
    assert re.search(rf"(?:Example:|例).*gonghui\b.*\b{words[-1]}\b", told, re.DOTALL), "an example in --help"


def test_the_protocol_names_codes_types_and_schemas_that_exist() -> None:
    text = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    steps = [line for line in text.splitlines() if re.match(r"\| \d+(, \d+)? \|", line)]
    named = {code for line in steps for code in re.findall(r"`([a-z]+(?:-[a-z]+)+)`", line.rpartition(" | ")[2])}
    assert len(named) >= 25
    assert named <= set(codes()) | {"cell-too-small", "period-not-released"}, "a code nobody raises"
    for name in re.findall(r"\b([a-z]+(?:-[a-z]+)*\.v1)\b(?!\+json)", text):
        assert name == "release.vN" or (ROOT / "schemas" / f"{name}.json").exists(), name
    types = set(re.findall(r"\| `([a-z-]+)`(?:, `([a-z-]+)`)? \| [a-z]+(?:-[a-z]+)*\.v1", text))
    told = {name for pair in types for name in pair if name}
    assert {kind.rsplit(".", 2)[-2] for kind in TYPES} <= told


def test_the_readmes_fit_a_page_and_give_the_same_commands() -> None:
    english, chinese = (ROOT / "README.md", ROOT / "README.zh-CN.md")
    commands = [
        [
            re.sub(r"--name \S+( \S+\")?", "", line.partition("#")[0]).split()
            for _, b in _blocks(page)
            for line in b.splitlines()
        ]
        for page in (english, chinese)
    ]
    assert commands[0] == commands[1]
    for page in (english, chinese):
        text = page.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 80
        assert "make demo" in text
        assert "make test" in text
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "make check" in ci
    assert "make test" in ci


def test_nothing_names_a_registry_or_loads_from_elsewhere() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    if not listed:
        pytest.skip("no git here")
    loads = re.compile(
        r"""(?:src|href|action)=["'](?:https?:)?//|@import\s+["']?(?:url\()?["']?https?:|url\(["']?https?:"""
    )
    for name in listed:
        file = ROOT / name
        if file.suffix in {".md", ".toml", ".lock", ".html", ".css", ".js", ".json", ".service", ""} and file.is_file():
            text = file.read_text(encoding="utf-8", errors="replace")
            assert not any(host in text for host in THEIR_HOSTS), name
            assert file.suffix not in {".html", ".css", ".js"} or not loads.search(text), name


def test_the_restore_runs(tmp_path: Path, forked: Forked) -> None:
    """Run the commands of deploy/README.md on a folder that was put back; afterwards the node signs again."""
    env = environment() | {"GONGHUI_CONFIG": "back/config.toml", "GONGHUI_TOKEN_FILE": "back/admin.token"}

    def run(line: str) -> None:
        words = [forked.gonghui, *shlex.split(line)[1:]]
        done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"

    run("gonghui init back --hub --name hub --admin it")
    blocks = [text for marked, text in _blocks(ROOT / "deploy" / "README.md") if marked]
    lines = [line for text in blocks for line in text.splitlines()]
    assert {"gonghui sync recover", "gonghui sync run"} <= set(lines)
    for line in lines:
        run(line)


def test_the_walkthrough_runs(tmp_path: Path, forked: Forked) -> None:
    """Run every marked block in order, in an empty folder, with the real command."""
    blocks = [text for marked, text in _blocks(ROOT / "docs" / "walkthrough.md") if marked]
    assert len(blocks) >= 6
    ready: list[tuple[str, list[str]]] = []
    missing: list[tuple[str, list[str]]] = []
    for text in blocks:
        lacking = [
            " ".join(words) for words in _commands(text) if _not_there_yet(words) or find_command(words)[0] is None
        ]
        (missing if lacking or missing else ready).append((text, lacking))
    path = f"{Path(forked.gonghui).parent}:{os.environ['PATH']}"
    work = tmp_path / "work"
    work.mkdir()
    script = "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n" + "\n".join(t for t, _ in ready)
    script = script.replace("18650", str(free_ports(1)[0]))  # somebody's node may have the usual one
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=work,
        env=environment() | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    if missing:
        pytest.skip(f"ran {len(ready)} of {len(blocks)} blocks; not there yet: {missing[0][1]}")


def test_the_protocol_names_every_operation_and_every_address() -> None:
    """A second implementer finds each route of the exchange in the protocol."""
    text = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    for route in [*exchange.routes, *membership.routes]:
        path = getattr(route, "path", "")
        name = path.removeprefix("/exchange/v1/").partition("/{")[0]
        assert re.search(rf"`[^`\n]*{re.escape(name)}\b", text), path
