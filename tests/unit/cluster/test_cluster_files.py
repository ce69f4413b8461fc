"""Rendered files on their way to a directory and back, where somebody else has prepared it."""

import os
from pathlib import Path

import pytest

from earmark.cluster.files import LARGEST, File, read_files, write_files

FILES = {"hosta/etc/a.conf": File("a\n"), "hosta/usr/b": File("b\n", 0o755)}


def test_what_is_written_is_read_back_with_its_mode(tmp_path: Path) -> None:
    write_files(FILES, tmp_path / "to")
    assert read_files(tmp_path / "to") == FILES


@pytest.mark.parametrize("name", ["a.conf", ".a.conf.new"])
def test_a_link_in_the_place_of_a_file_is_replaced_and_not_followed(tmp_path: Path, name: str) -> None:
    other = tmp_path / "other"
    other.write_text("mine\n")
    other.chmod(0o600)
    (tmp_path / "to/hosta/etc").mkdir(parents=True)
    (tmp_path / "to/hosta/etc" / name).symlink_to(other)
    write_files(FILES, tmp_path / "to")
    assert other.read_text() == "mine\n"
    assert other.stat().st_mode & 0o777 == 0o600
    assert read_files(tmp_path / "to") == FILES


def test_a_directory_that_is_a_link_elsewhere_gets_no_files(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "to").mkdir()
    (tmp_path / "to/hosta").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="a link leads elsewhere"):
        write_files(FILES, tmp_path / "to")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_the_directory_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "to").symlink_to(tmp_path / "real")
    write_files(FILES, tmp_path / "to")
    assert read_files(tmp_path / "real") == FILES


def test_what_would_not_end_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="pipe: not a plain file"):
        read_files(tmp_path)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "endless").symlink_to("/dev/zero")
    with pytest.raises(OSError, match="endless"):
        read_files(tmp_path)


def test_a_file_that_is_too_large_or_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"a" * (LARGEST + 1))
    with pytest.raises(OSError, match="large: not a plain file of at most"):
        read_files(tmp_path)
    (tmp_path / "large").write_bytes(b"\xff")
    with pytest.raises(OSError, match="large: not text"):
        read_files(tmp_path)
