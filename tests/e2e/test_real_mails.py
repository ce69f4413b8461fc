"""The sixty real mails with a real spamd: what it says by itself, what we find, and where the mail goes."""

import asyncio

import pytest

from e2e_lab import spamd as laboratory
from e2e_lab.real_mails import TABLE, Row, document, rows, version
from e2e_lab.spamd import Spamd

pytestmark = pytest.mark.skipif(bool(laboratory.missing()), reason=laboratory.missing())


@pytest.fixture(scope="module")
def measured(local_spamd: Spamd) -> list[Row]:
    return asyncio.run(rows(local_spamd))


def test_score_and_folder_are_what_spamd_alone_says_and_our_findings(measured: list[Row]) -> None:
    assert len(measured) == 60
    assert [row.total for row in measured] == [row.alone + row.ours for row in measured]
    assert [row.folder for row in measured] == ["Junk" if row.total >= 500 else "Inbox" for row in measured]
    assert [row.flagged for row in measured] == [row.folder == "Junk" for row in measured]
    assert any(row.alone < 500 <= row.total for row in measured), "no folder shows whether our findings count"


def test_the_table_in_the_docs_is_what_is_measured(measured: list[Row]) -> None:
    table = TABLE.read_text("utf-8")
    if version() not in table:
        pytest.skip(f"the table is of another one than {version()}")
    assert document(measured, version()) == table
