from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from localassist.retrieval.segment import DamagedContentError, Segment, publish, write_segment

DTYPES = st.sampled_from(["u1", "<i4", ">i4", "<i8", "<f4", "<u8", "<u2", "i1"])


def written(folder: Path, **arrays: np.ndarray) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "segment"
    write_segment(folder / "temporary", meta={"a": 1}, arrays=arrays)
    publish(folder / "temporary", path)
    return path


@given(
    arrays=st.dictionaries(
        st.text("abc", min_size=1),
        DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=1, max_dims=2, min_side=0))),
        max_size=4,
    )
)
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, arrays: dict[str, np.ndarray]) -> None:
    segment = Segment(written(tmp_path_factory.mktemp("segment"), **arrays))

    assert segment.meta == {"a": 1}
    for name, array in arrays.items():
        np.testing.assert_array_equal(segment.array(name), array)
        assert segment.array(name).shape == array.shape


def test_arrays_cannot_be_written_to(tmp_path: Path) -> None:
    array = Segment(written(tmp_path, a=np.arange(3))).array("a")

    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


@given(where=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_no_flipped_bit_of_content_goes_unnoticed(
    tmp_path_factory: pytest.TempPathFactory, where: int, bit: int
) -> None:
    path = written(tmp_path_factory.mktemp("segment"), a=np.arange(64, dtype=np.int64), b=np.ones(64, dtype=np.float64))
    data = bytearray(path.read_bytes())
    where %= len(data)
    padding = range(data.rindex(b"}") + 1, len(data) - 1024)
    data[where] ^= 1 << bit
    path.write_bytes(data)

    if where in padding:
        Segment(path).verify()
    else:
        with pytest.raises(DamagedContentError):
            Segment(path).verify()


@given(kept=st.integers(0, 1600))
def test_a_file_cut_short_anywhere_is_refused(tmp_path_factory: pytest.TempPathFactory, kept: int) -> None:
    path = written(tmp_path_factory.mktemp("segment"), a=np.arange(100, dtype=np.int64))
    data = path.read_bytes()
    path.write_bytes(data[: min(kept, len(data) - 1)])

    with pytest.raises(DamagedContentError):
        Segment(path)


def test_a_missing_file_says_so_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DamagedContentError, match=r"'segment' in .* is missing\. Ingest its file again\."):
        Segment(tmp_path / "segment")


def test_a_published_segment_takes_the_place_of_the_old_one_while_that_is_read(tmp_path: Path) -> None:
    old = Segment(written(tmp_path, a=np.array([1])))
    new = Segment(written(tmp_path, a=np.array([2])))

    assert (old.array("a").tolist(), new.array("a").tolist()) == ([1], [2])
    assert [path.name for path in tmp_path.iterdir()] == ["segment"]
