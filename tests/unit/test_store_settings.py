"""[store] of server.toml and the limits of [rates]: what is right, and what is said of what is not."""

from pathlib import Path

import pytest

from earmark.config import ConfigError, compile_generation, read_files, shipped, store_password
from earmark.config.values import rate, store_url

SHIPPED = read_files(shipped())
SERVER = "policies/server.toml"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "redis://192.0.2.40:6379",
        "redis://192.0.2.40:6379/",
        "redis://redis.example:6379/3",
        "redis://[2001:db8::1]:6379/0",
        "unix:///run/redis/redis.sock",
        "redis+sentinel://192.0.2.41:26379/mail",
        "redis+sentinel://192.0.2.41:26379,[2001:db8::1]:26379/mail-1",
    ],
)
def test_a_store_may_be_named_so(url: str) -> None:
    assert store_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "redis://192.0.2.40",
        "redis://192.0.2.40:6379/mail",
        "redis://a:1,b:2/0",
        "rediss://192.0.2.40:6379",
        "unix://run/redis.sock",
        "unix://",
        "redis+sentinel://192.0.2.41:26379",
        "redis+sentinel://192.0.2.41/mail",
        "/run/redis.sock",
        "redis",
    ],
)
def test_a_store_may_not_be_named_so(url: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        store_url(url)


def test_a_password_in_the_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValueError, match="password_file") as refused:
        store_url("redis://:hunter2@192.0.2.40:6379/0")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "1/1", "30/60", "999999/999999"])
def test_a_limit_is_messages_and_seconds(text: str) -> None:
    assert rate(text) == text


@pytest.mark.parametrize(
    "text", ["30", "30/", "/60", "0/60", "30/0", "30/60s", "-1/60", "1e3/60", "30 / 60", "٣/60", 30]
)
def test_a_limit_is_nothing_else(text: object) -> None:
    with pytest.raises(ValueError, match="must be"):
        rate(text)


def test_a_wrong_limit_is_told_with_file_and_line() -> None:
    domain = b'domains = ["example.org"]\n[rates]\nuser = "many"\n'
    with pytest.raises(ConfigError) as refused:
        compile_generation(SHIPPED | {"policies/domains/example.org.toml": domain})
    (problem,) = refused.value.problems
    assert str(problem).startswith("policies/domains/example.org.toml:3:1: rates.user: must be")


def password_of(path: Path) -> tuple[str, list[str]]:
    server = SHIPPED[SERVER] + f'password_file = "{path}"\n'.encode()
    password, problems = store_password(compile_generation(SHIPPED | {SERVER: server}))
    return password, [str(problem) for problem in problems]


def test_the_password_stands_in_a_file_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("hunter2\n")
    file.chmod(0o600)
    assert password_of(file) == ("hunter2", [])
    assert store_password(compile_generation(SHIPPED)) == ("", [])


@pytest.mark.parametrize(("mode", "content"), [(0o604, "hunter2"), (0o600, "hunter 2"), (0o600, ""), (0o600, "é")])
def test_a_password_that_will_not_do_is_told_with_its_place_and_not_repeated(
    tmp_path: Path, mode: int, content: str
) -> None:
    file = tmp_path / "password"
    file.write_text(content)
    file.chmod(mode)
    password, (problem,) = password_of(file)
    assert not password
    assert problem.startswith(f"{SERVER}:")
    assert "hunter" not in problem


def test_a_password_that_is_not_there_is_told(tmp_path: Path) -> None:
    _, (problem,) = password_of(tmp_path / "absent")
    assert "cannot read" in problem
