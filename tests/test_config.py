"""Settings: the example, the model and the program agree; misspelt keys are told with the nearest known one."""

import tomllib
from pathlib import Path

import pytest

from federation.errors import UsageError
from node.config import Settings, known_keys, load_settings, read_settings, sections, write_settings_text

EXAMPLE = Path(__file__).parents[1] / "config.example.toml"


def test_the_example_holds_every_key_with_its_default_and_a_comment() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    written = {f"{section}.{key}" for section, table in tomllib.loads(text).items() for key in table}
    assert written == set(known_keys())
    assert load_settings(EXAMPLE) == Settings()
    lines = text.splitlines()
    for _, keys in sections().values():
        for key in keys:
            place = next(i for i, line in enumerate(lines) if lines[i - 1] == f"# {key.description}")
            assert lines[place].startswith(f"{key.name} = ")
            assert "/" in key.description, "both languages"
    assert text == write_settings_text()


def test_given_values_stand_in_the_text_and_are_read_back() -> None:
    text = write_settings_text({"node.name": '引号"与\\反斜杠', "server.port": 9, "hub.enabled": True})
    settings = read_settings(text)
    assert (settings.node.name, settings.server.port, settings.hub.enabled) == ('引号"与\\反斜杠', 9, True)
    with pytest.raises(UsageError, match="config-key-unknown"):
        write_settings_text({"node.nmae": "x"})


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("[server]\nprot = 1\n", "config-key-unknown", "server.port"),
        ("[sevrer]\nport = 1\n", "config-key-unknown", "server"),
        ("[server]\nport = 70000\n", "config-value", "server.port"),
        ("[privacy]\nminimum_cell = 4\n", "config-value", "privacy.minimum_cell"),
        ("server port", "config-not-toml", "TOML"),
    ],
)
def test_a_wrong_file_is_told_in_both_languages(text: str, code: str, says: str) -> None:
    with pytest.raises(UsageError, match=code) as caught:
        read_settings(text)
    assert says in caught.value.text.zh
    assert says in caught.value.text.en


def test_a_file_in_another_encoding_is_told(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes('[node]\nname = "测试学院"\n'.encode("gb18030"))
    with pytest.raises(UsageError, match="config-unreadable"):
        load_settings(tmp_path / "config.toml")
    with pytest.raises(UsageError, match="config-missing"):
        load_settings(tmp_path / "none.toml")
