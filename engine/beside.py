"""
What an iterator yields, made in a thread ahead of whoever takes it: as far ahead as so many bytes, never further.

For work that lets go of the interpreter (decompressing, compiled kernels): it goes on while the core applies what it
gave. What it raises is raised where it would have been; whoever takes no more closes it, and the thread ends.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")
JOIN_S = 5.0


class Beside(Generic[T]):
    """One iterator and the thread that runs it; taken from by one other thread."""

    def __init__(self, items: Iterator[T], size_of: Callable[[T], int], ahead_bytes: int) -> None:
        self.items = items
        self.size_of = size_of
        self.ahead_bytes = ahead_bytes  # that may be waiting; one item may always be
        self.changed = threading.Condition()
        self.waiting: deque[tuple[T, int]] = deque()
        self.waiting_bytes = 0
        self.error: BaseException | None = None
        self.ended = False  # the iterator is at its end, or raised
        self.closed = False  # nobody takes any more
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        """Fill the waiting room until the iterator ends or nobody wants more."""
        try:
            for item in self.items:
                if not self.put(item):
                    break
        except BaseException as error:
            self.error = error
        finally:
            try:
                closing = getattr(self.items, "close", None)
                if closing is not None:
                    closing()
            finally:
                with self.changed:
                    self.ended = True
                    self.changed.notify_all()

    def put(self, item: T) -> bool:
        """Wait for room and leave an item there; return False when nobody wants it."""
        size = self.size_of(item)
        with self.changed:
            while self.waiting and self.waiting_bytes + size > self.ahead_bytes and not self.closed:
                self.changed.wait()
            if self.closed:
                return False
            self.waiting.append((item, size))
            self.waiting_bytes += size
            self.changed.notify_all()
        return True

    def __iter__(self) -> "Beside[T]":
        return self

    def __next__(self) -> T:
        with self.changed:
            while not self.waiting and not self.ended:
                self.changed.wait()
            if self.waiting:
                item, size = self.waiting.popleft()
                self.waiting_bytes -= size
                self.changed.notify_all()
                return item
            error, self.error = self.error, None
        if error is not None:
            raise error
        raise StopIteration

    def close(self) -> None:
        """Give up what is not taken; return when the thread has let go of its files."""
        with self.changed:
            self.closed = True
            self.waiting.clear()
            self.waiting_bytes = 0
            self.changed.notify_all()
        if self.thread is not threading.current_thread():
            self.thread.join(JOIN_S)
