"""Keys of lists in files of their own: what is refused, where it is told, and that a key stands nowhere else."""

import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pytest

from earmark.config import ConfigError, compile_generation, read_files, shipped
from earmark.config.files import copy_shipped
from earmark.config.secrets import read_key, read_keys
from earmark.service.lists import keys_of
from earmark.service.policy_tests import load_tested

KEY = "sekretkey0123456789abcdefg"
SHIPPED = read_files(shipped())
RULES = """# keys
[[zone]]
name = "zen.dq.example"
owner = "example"
kind = "block"
ask = ["connection"]
  key_file = "{path}"

[[zone.code]]
symbol = "DQ"
code = "127.0.0.2"
score = 1.00
meaning = "listed"
scope = "address"
"""
DOMAIN = b'domains = ["example.org"]\n[listings]\nzones = ["zen.dq.example"]\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "dqs"
    path.write_text(f"{KEY}\n")
    path.chmod(0o640)
    return path


def files(path: Path | str, *, used: bool = True) -> Mapping[str, bytes]:
    more = {"policies/domains/a.toml": DOMAIN} if used else {}
    return {**SHIPPED, "rules/local.toml": RULES.format(path=path).encode(), **more}


def told(path: Path) -> str:
    keys, problems = read_keys(compile_generation(files(path)))
    assert keys == {}
    (problem,) = problems
    assert str(problem).startswith(f"rules/local.toml:7:3: zone[0].key_file: {path} ") or "cannot read" in str(problem)
    assert problem[:4] == ("rules/local.toml", 7, 3, "zone[0].key_file")
    return problem.reason


def test_a_key_is_read_from_its_file(path: Path) -> None:
    assert read_keys(compile_generation(files(path))) == ({"zen.dq.example": KEY}, [])


def test_the_key_of_a_list_that_no_policy_asks_yet_is_looked_at_too(path: Path) -> None:
    generation = compile_generation(files(path, used=False))
    assert read_keys(generation) == ({"zen.dq.example": KEY}, [])
    path.chmod(0o644)
    (problem,) = read_keys(generation)[1]
    assert problem[:4] == ("rules/local.toml", 7, 3, "zone[0].key_file")
    path.unlink()
    assert "No such file" in read_keys(generation)[1][0].reason


def test_a_key_that_a_shadow_shares_is_complained_of_once(path: Path) -> None:
    path.unlink()
    generation = compile_generation(files(path))
    assert len(keys_of(generation, generation)[1]) == 1


def test_a_missing_file_is_told_where_it_is_named(path: Path) -> None:
    path.unlink()
    assert told(path) == f"cannot read {path}: No such file or directory"


def test_a_file_that_cannot_be_read_is_told(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)
    assert told(path) == f"cannot read {path}: Too many levels of symbolic links"


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o642, 0o641])
def test_a_file_that_is_open_to_others_is_refused(path: Path, mode: int) -> None:
    path.chmod(mode)
    assert told(path) == f"{path} is open to everybody on this machine (mode {mode:03o}); chmod o= would do"


@pytest.mark.parametrize(
    "content",
    ["", "short", KEY.upper(), f"{KEY} {KEY}", f"{KEY}\n{KEY}", f"{KEY}.", "-" * 10, "k" * 64, "k" * 10_000, "\xff"],
)
def test_what_is_no_label_is_refused_and_never_told(path: Path, content: str) -> None:
    path.write_text(content, "latin-1")
    reason = told(path)
    assert reason == f"{path} holds no key, which is one line of 8 to 63 letters a-z and digits"


def test_what_is_no_file_holds_up_nobody(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)
    assert told(path) == f"{path} is not a regular file"
    with pytest.raises(ValueError, match="is not a regular file"):
        read_key(path.parent)


@pytest.mark.parametrize("named", ["keys/dqs", "~/dqs"])
def test_only_an_absolute_path_names_a_file(named: str) -> None:
    with pytest.raises(ConfigError, match=r"rules/local.toml:7:3: zone\[0\].key_file: must be an absolute path"):
        compile_generation(files(named))


def test_a_generation_holds_no_key(path: Path) -> None:
    generation = compile_generation(files(path))
    assert read_keys(generation)[0] == {"zen.dq.example": KEY}
    assert KEY not in repr(asdict(generation.server)) + repr(generation.zones) + repr(generation.policies.all)
    assert not any(KEY.encode() in content for content in generation.files.values())
    path.write_text("another0key")
    assert compile_generation(files(path)).id == generation.id


def test_the_keys_of_a_shadows_own_lists_are_read_too(path: Path) -> None:
    main, shadow = compile_generation(SHIPPED), compile_generation(files(path))
    assert keys_of(main, shadow) == ({"zen.dq.example": KEY}, [])
    assert keys_of(main, None) == ({}, [])
    path.unlink()
    assert {problem.file for problem in keys_of(main, shadow)[1]} == {"rules/local.toml"}


def test_the_shipped_policies_hold_their_tests_with_the_lists_of_the_sample(path: Path, tmp_path: Path) -> None:
    copy_shipped(tmp_path / "etc")
    sample = tmp_path / "etc/rules/spamhaus-dqs.toml.sample"
    rules = sample.read_text().replace("/etc/earmark/keys/dqs", str(path))
    (tmp_path / "etc/rules/dqs.toml").write_text(rules)
    (command,) = re.findall(r"^#   (sed (?:.*\\\n)?.*)$", rules, re.MULTILINE)
    command = command.replace("\\\n#", "").replace("/etc/earmark", str(tmp_path / "etc"))
    subprocess.run(shlex.split(command), check=True, timeout=30)
    generation, shadow, _ = load_tested(tmp_path / "etc")
    assert {"zen.dq.spamhaus.net", "dbl.dq.spamhaus.net"} <= set(keys_of(generation, shadow)[0])
    assert not {"zen.spamhaus.org", "dbl.spamhaus.org"} & set(generation.zones)
