"""What the benchmarks' page is made of."""

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.measurement import Measurement, quantile, row, single, table
from benchmarks.render import section


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300), st.sampled_from([0.5, 0.9, 0.95, 0.99, 1.0]))
def test_a_quantile_is_the_least_value_that_so_many_do_not_exceed(values: list[float], share: float) -> None:
    found = quantile(values, share)

    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9
    assert sum(value < found for value in values) < share * len(values)


def test_a_row_shows_median_spread_and_repetitions() -> None:
    found = row("a run", [3.0, 1.0, 8.0], "ms", bound="< 10")

    assert (found.value, found.low, found.high, found.n) == (3.0, 1.0, 8.0, 3)
    assert table([found]).splitlines()[1].split() == ["a", "run", "3", "ms", "1", "8", "3", "<", "10"]


def test_the_page_warns_before_it_shows_a_figure() -> None:
    measured = Measurement("x", "Things", "By counting.", ["A rival won."], [single("n", 1234.0, "MB")], "repeat me")
    machine = {
        "cpu": "C", "cores": 2, "cpu_flags": [], "memory_gb": 8.0, "load_before": 0.5,
        "system": "L", "python": "3", "versions": {"numpy": "2"},
    }  # fmt: skip

    shown = section({"date": "2026-01-01", "commit": "abc", "machine": machine, **measured.as_json()})

    assert shown.index("A rival won.") < shown.index("| n | 1,234 | MB |  | 1 |  |")
    assert "2026-01-01, commit abc; C, 2 cores, 8 GB, load before 0.5; L, Python 3; numpy 2." in shown
