import pytest

from earmark.cluster.migration.progress import Progress, parse


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("         32,768   0%    0.00kB/s    0:00:00  ", Progress(32768, 0, 0.0, 0)),
        ("  1,048,576,000  50%   10.00MB/s    0:01:40  ", Progress(1048576000, 50, 10485760.0, 100)),
        (
            "  1,048,576,000  50%   10.00MB/s    0:01:40 (xfr#12, to-chk=7/40)",
            Progress(1048576000, 50, 10485760.0, 100),
        ),
        (
            "     30,000,000 100%  985.48MB/s    0:00:00 (xfr#1, to-chk=0/2)  ",
            Progress(30000000, 100, 985.48 * (1 << 20), 0),
        ),
        ("  5.000.000.000  99%    1.00GB/s  123:04:05  ", Progress(5000000000, 99, float(1 << 30), 443045)),
    ],
)
def test_rsyncs_progress_is_read(line: str, read: Progress) -> None:
    assert parse(line) == read


@pytest.mark.parametrize(
    "line",
    ["", "sending incremental file list", "var/mail/100%", "1 100% 1B/s 0:0:0", "9" * 60 + " 1% 1.00kB/s 0:00:00"],
)
def test_what_else_rsync_says_is_no_progress(line: str) -> None:
    assert parse(line) is None


def test_it_is_shown_with_rate_and_time_left() -> None:
    assert str(Progress(1 << 30, 25, 10.5 * (1 << 20), 3725)) == " 25 %  1024.0 MiB  10.5 MiB/s  1:02:05 left"
