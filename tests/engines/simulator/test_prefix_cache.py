from __future__ import annotations

from engines.simulator.prefix_cache import BlockCache, block_keys


def test_only_full_blocks_have_keys_and_each_depends_on_all_before_it() -> None:
    first, second = block_keys([1, 2, 3, 4, 5], 2)
    assert (first, second) == block_keys([1, 2, 3, 4], 2)
    assert first == block_keys([1, 2, 9, 9], 2)[0]
    assert second != block_keys([9, 9, 3, 4], 2)[1]


def test_equal_prefixes_share_blocks() -> None:
    cache = BlockCache(10)
    assert cache.allocate((1, 2), 1) == 0
    assert cache.allocate((1, 2, 3), 1) == 2
    assert cache.used == 5


def test_released_prompt_blocks_stay_cached_and_private_ones_do_not() -> None:
    cache = BlockCache(10)
    cache.allocate((1, 2), 3)
    cache.release((1, 2), 3)
    assert (cache.used, cache.idle) == (0, 2)
    assert cache.allocate((1, 2), 0) == 2


def test_an_allocation_that_does_not_fit_changes_nothing() -> None:
    cache = BlockCache(4)
    cache.allocate((1, 2), 1)
    assert cache.allocate((1, 3), 1) is None
    assert (cache.used, cache.idle) == (3, 0)


def test_the_oldest_idle_block_and_a_prompts_tail_go_first() -> None:
    cache = BlockCache(4)
    for keys in ((1, 2), (3, 4)):
        cache.allocate(keys, 0)
        cache.release(keys, 0)
    cache.allocate((), 1)
    cache.release((), 1)
    assert cache.idle == 3
    assert cache.allocate((3, 4), 0) == 2
    cache.release((3, 4), 0)
    assert cache.allocate((1, 2), 0) == 1


def test_a_block_whose_parent_was_evicted_is_no_hit_but_needs_no_new_block() -> None:
    cache = BlockCache(2)
    cache.allocate((2,), 0)
    assert cache.allocate((1, 2), 0) == 0
    assert cache.used == 2


def test_a_look_counts_the_leading_blocks_and_changes_nothing() -> None:
    cache = BlockCache(2)
    for key in (1, 2):
        cache.allocate((key,), 0)
        cache.release((key,), 0)
    assert (cache.cached((1, 9, 2)), cache.cached((9,))) == (1, 0)
    cache.allocate((3,), 0)
    assert (cache.cached((1,)), cache.cached((2,))) == (0, 1)
