import torch

from hdrnet_bench.timing.clock import FLUSH_BYTES, Clock, Flush

CPU = torch.device("cpu")


def test_caches_are_emptied_by_reading_alone() -> None:
    """What a flush wrote would be on its way to memory while the next run is timed."""
    flush = Flush(CPU, 1 << 20)
    buffer, result = flush._buffer, flush._sum
    assert buffer.nbytes == 1 << 20
    assert result.numel() == 1
    version, before = buffer._version, result._version
    flush()
    flush()
    assert buffer._version == version, "written again"
    assert result._version > before, "not read"
    assert result.data_ptr() == flush._sum.data_ptr()
    assert float(result) == 0


def test_the_buffer_is_larger_than_any_l2_cache_and_only_on_cuda() -> None:
    assert FLUSH_BYTES >= 2 * (126 << 20)  # of a B200
    assert Clock(CPU)._flush._buffer.numel() == 0
