"""The one thread that enrols and removes, so that answers never wait for a write or its lock."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from siamese.gallery.answers import Enrolment
from siamese.gallery.gallery import Gallery
from siamese.service.newest import Newest

Done = TypeVar("Done")


class Writer:
    """Changes the gallery, and lets the answers that follow see the change."""

    def __init__(self, newest: Newest) -> None:
        self._newest = newest
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="write")
        # Its own, which sees each change at once; the one that answers stays as it is.
        self._gallery: Gallery | None = None

    async def enroll(self, pixels: np.ndarray, label: str, files: Sequence[str]) -> Enrolment:
        """Do what `Gallery.enroll` does."""
        return await self._change(lambda gallery: gallery.enroll(pixels, label, files))

    async def remove(self, label: str | None, file: str | None, number: int | None) -> int:
        """Do what `Gallery.remove` does."""
        return await self._change(lambda gallery: gallery.remove(label, file, number))

    async def renew(self) -> None:
        """Let answers see what other processes have written."""
        await asyncio.to_thread(self._newest.renew)

    def stop(self) -> None:
        """End once all changes that were asked for are made."""
        self._thread.shutdown()

    async def _change(self, change: Callable[[Gallery], Done]) -> Done:
        def do() -> Done:
            newest = self._newest.gallery()
            if self._gallery is None or self._gallery.model is not newest.model:
                self._gallery = Gallery.open(newest.table.address, newest.model)
            done = change(self._gallery)
            # Here, since whoever asked may have gone in the meantime.
            self._newest.renew()
            return done

        return await asyncio.get_running_loop().run_in_executor(self._thread, do)
