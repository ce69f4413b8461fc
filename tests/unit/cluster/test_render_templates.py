import pytest
from jinja2 import UndefinedError

from earmark.cluster.templates import fill

GUEST = {"name": "a<b&c", "memory": 1, "vcpu": 1, "mac": "", "bridge": ""}


def test_a_template_that_names_what_it_is_not_given_is_an_error_not_a_gap() -> None:
    with pytest.raises(UndefinedError, match="'uuid' is undefined"):
        fill("host/guest.xml", inventory={"guest": GUEST}, device="/dev/drbd0")


def test_values_are_escaped_for_xml_and_stand_as_they_are_elsewhere() -> None:
    definition = fill("host/guest.xml", inventory={"guest": GUEST}, device="/dev/drbd0", uuid="")
    assert "<name>a&lt;b&amp;c</name>" in definition
    inventory = {"name": "a<b&c", "admin": "root", "filter_failure": "alarm"}
    mail = fill("alarm/earmark-alarm-mail.service", inventory=inventory)
    assert "The filter of a<b&c does not answer" in mail
