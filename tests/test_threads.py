"""Small work on one thread: the user's setting is back whatever ends it, and no result depends on it."""

import threading

import pytest
import torch

from notes import _threads
from notes._threads import one_thread

SMALL, MUCH = _threads._MUCH - 1, _threads._MUCH


@pytest.fixture
def three():
    """A setting of the user's own."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield 3
    torch.set_num_threads(before)


def test_small_work_has_one_thread_and_much_work_the_users(three):
    with one_thread(SMALL):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == three
    with one_thread(MUCH):
        assert torch.get_num_threads() == three
    assert torch.get_num_threads() == three
    with one_thread(MUCH):
        torch.set_num_threads(2)
    assert torch.get_num_threads() == 2  # what the user chose inside stays


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit, SystemExit])
def test_whatever_ends_the_block_the_setting_is_back(three, error):
    with pytest.raises(error), one_thread(SMALL):
        raise error
    assert torch.get_num_threads() == three


def test_ctrl_c_while_the_setting_changes_leaves_it_as_it_was(three, monkeypatch):
    change = torch.set_num_threads

    def interrupted(number):
        change(number)
        if number == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(torch, "set_num_threads", interrupted)
    with pytest.raises(KeyboardInterrupt), one_thread(SMALL):
        pass
    assert torch.get_num_threads() == three


def test_a_generator_that_is_left_early_gives_the_setting_back(three):
    def steps():
        with one_thread(SMALL):
            yield torch.get_num_threads()

    running = steps()
    assert next(running) == 1
    running.close()
    assert torch.get_num_threads() == three


def test_a_block_inside_another_ends_as_it_began(three):
    with one_thread(SMALL):
        with one_thread(SMALL):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1
        with one_thread(MUCH):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == three


def test_the_setting_is_each_threads_own(three):
    inside, go_on, seen = threading.Event(), threading.Event(), []

    def work():
        torch.set_num_threads(2)
        with one_thread(SMALL):
            inside.set()
            go_on.wait(10)
            seen.append(torch.get_num_threads())
        seen.append(torch.get_num_threads())

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait(10)
    assert torch.get_num_threads() == three
    with one_thread(SMALL):
        go_on.set()
        thread.join()
        assert torch.get_num_threads() == 1
    assert seen == [1, 2]
    assert torch.get_num_threads() == three


def test_a_thread_born_inside_keeps_one(three):
    seen = []
    thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    with one_thread(SMALL):
        thread.start()
        thread.join()
    assert seen == [1]
