"""Rates and remaining times."""

from cidery.cli.pace import WINDOW, Pace, blocks_line


def test_the_rest_takes_as_long_as_the_pace_says() -> None:
    pace = Pace(100.0)
    assert pace.rate == 0.0 and pace.left(10) == ""
    pace.note(100.01, 20.0)
    assert pace.rate == 0.0 and pace.left(20) == "", "too soon to tell"
    pace.note(102.0, 20.0)
    assert pace.rate == 10.0
    assert pace.left(None) == "" and pace.left(20) == "" and pace.left(10) == ""
    assert pace.left(620) == "1:00 left" and pace.left(20 + 10 * 3725) == "1:02:05 left"


def test_the_pace_is_that_of_the_last_seconds() -> None:
    pace = Pace(0.0)
    for second in range(1, 31):
        pace.note(float(second), 1000.0)
    assert pace.rate == 0.0 and pace.left(2000) == ""
    pace.note(31.0, 1100.0)
    assert 100.0 / (WINDOW + 2) <= pace.rate <= 100.0 / (WINDOW - 2)


def test_blocks_are_told_in_words() -> None:
    pace = Pace(0.0)
    assert blocks_line(pace, 0.0, {"Progress": 0, "Total": 100}) == "0 of 100 blocks"
    assert blocks_line(pace, 2.0, {"Progress": 20, "Total": 100}) == "20 of 100 blocks, 10 blocks/s, 0:08 left"
    assert blocks_line(pace, 4.0, {"Progress": 120, "Total": 100}) == "120 blocks, 30 blocks/s"
    sizes = Pace(0.0)
    told = blocks_line(sizes, 1.0, {"Progress": 2, "Bytes": 1 << 20, "Total": 5 << 20})
    assert told == "2 blocks, 1.0 of 5.0 MiB, 1.0 MiB/s, 0:04 left"
    assert blocks_line(sizes, 2.0, {"Progress": 4, "Bytes": 3 << 20}) == "4 blocks, 3.0 MiB, 1.5 MiB/s"
