"""What the attributes of a policy request mean."""

import pytest

from earmark.core.evidence import Fact, Status
from earmark.core.mail import Client
from earmark.fronts.policy_terms import client_of, reverse_name_of, taken_before, user_of
from earmark.wire import RemoteError
from earmark.wire.attributes import Attributes


@pytest.mark.parametrize(
    ("request_", "status", "names"),
    [
        ({b"client_name": b"Mail.Example.NET."}, Status.PASS, ("mail.example.net",)),
        ({b"client_name": b"x", b"reverse_client_name": b"y", b"reverse_state": b"FORGED"}, Status.FAIL, ("y",)),
        ({b"client_name": b"unknown", b"reverse_state": b"FAIL"}, Status.NONE, ()),
        ({b"client_name": b"unknown", b"reverse_state": b"TEMP"}, Status.TEMPERROR, ()),
        ({b"client_name": b"mail.example.net", b"reverse_state": b"OK"}, Status.PASS, ("mail.example.net",)),
    ],
)
def test_a_name_that_the_mta_vouches_for_is_a_fact(
    request_: Attributes, status: Status, names: tuple[str, ...]
) -> None:
    fact = reverse_name_of(request_, 1.0)
    assert fact is not None
    assert (fact.status, fact.data, fact.at, fact.source) == (status, names, 1.0, "mta")


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {b"client_name": b""},
        {b"client_name": b"unknown"},
        {b"client_name": b"unknown", b"reverse_client_name": b"mail.example.net"},
        {b"client_name": b"unknown", b"reverse_state": b""},
        {b"client_name": b"unknown", b"reverse_state": b"MAYBE"},
    ],
)
def test_unknown_may_mean_that_dns_failed_and_so_is_looked_up(request_: Attributes) -> None:
    assert reverse_name_of(request_, 1.0) is None


@pytest.mark.parametrize(
    ("told", "client"),
    [
        ((b"192.0.2.7", b"2525"), Client("192.0.2.7", 2525)),
        ((b"::ffff:192.0.2.7", b"1"), Client("192.0.2.7", 1)),
        ((b"2001:DB8::7", b""), Client("2001:db8::7", 0)),
        ((b"", b"unknown"), Client("", 0)),
        ((b"unknown", b"99999999"), Client("", 0)),
    ],
)
def test_the_client_is_read_in_every_form(told: tuple[bytes, bytes], client: Client) -> None:
    address, port = told
    assert client_of({b"client_address": address, b"client_port": port}) == client


@pytest.mark.parametrize("address", [b"192.0.2.256", b"mail.example.net", b"192.0.2.7\xff", b" "])
def test_what_is_no_address_is_never_taken_for_a_local_client(address: bytes) -> None:
    with pytest.raises(RemoteError):
        client_of({b"client_address": address})


def test_who_authenticated_is_named_or_else_his_mechanism_is() -> None:
    assert user_of({b"sasl_username": b"bob", b"sasl_method": b"PLAIN"}) == "bob"
    assert user_of({b"sasl_username": b"", b"sasl_method": b"EXTERNAL"}) == "EXTERNAL"
    assert user_of({}) == ""


def test_recipients_taken_before_are_read_as_paths() -> None:
    found = taken_before({b"recipients": b'"a,b"@Example.ORG, c@example.net'})
    assert [recipient.domain for recipient in found] == ["example.org", "example.net"]


def test_a_fact_of_the_mta_is_like_that_of_the_milter() -> None:
    assert reverse_name_of({b"reverse_state": b"FAIL"}, 2.0) == Fact(
        Status.NONE, at=2.0, source="mta", why="the MTA found no name"
    )
