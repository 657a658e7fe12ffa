"""Where the answers are computed: one thread, which takes all that waits as one batch.

While it computes, requests queue; then they are embedded together, and searched together where
they ask alike. So an idle service answers at once, and a busy one in batches that grow with the
load. Images are decoded by other threads, and the event loop only waits.
"""

import asyncio
import logging
import queue
import threading
import warnings
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from itertools import islice
from typing import Any, Literal

import joblib
import numpy as np

from siamese.base.errors import InputError
from siamese.gallery.gallery import Gallery
from siamese.gallery.png import encode_png
from siamese.gallery.text import one_line
from siamese.gallery.verdict import decide
from siamese.images.reading import read_image
from siamese.measures.verification import pair_distances
from siamese.service.errors import Refused, Unavailable
from siamese.service.metrics import Figures
from siamese.service.newest import Newest
from siamese.service.settings import Settings
from siamese.service.uploads import Upload

log = logging.getLogger("siamese.service")

# Images that are embedded at once, unless one request has more.
AT_ONCE = 128
LONGEST_NAME = 100


@dataclass(frozen=True)
class Question:
    """What is asked about images.

    Attributes:
        kind: of the answer: for each image a `ClassifiedImage`, a tuple of neighbours, an embedding
            or a `ClaimVerdict`; or one `Verdict` about two images.
        images: uint8 `[n, H, W, 3]`.
        k: neighbours.
        exact: search without the index.
        far: the highest false-accept rate allowed, to verify.
        label: that the images claim.
    """

    kind: Literal["classify", "search", "embed", "verify", "claim"]
    images: np.ndarray
    k: int | None = None
    exact: bool = False
    far: float | None = None
    label: str = ""


Asked = tuple[Question, "asyncio.Future[Any]"]


class Engine:
    """Decodes images and answers questions, for routes to wait for."""

    def __init__(self, newest: Newest, settings: Settings, figures: Figures) -> None:
        self._newest = newest
        self._most_pixels = settings.most_pixels
        self._figures = figures
        # None is the last that the thread takes.
        self._asked: queue.SimpleQueue[Asked | None] = queue.SimpleQueue()
        figures.waiting.set_function(self._asked.qsize)

    async def start(self) -> None:
        """Start the threads, and let them import all that the first answer needs."""
        self._loop = asyncio.get_running_loop()
        # Filters belong to the process, so they are set once for all threads that decode.
        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        warnings.filterwarnings("ignore", module=r"PIL\.")
        self._decoders = ThreadPoolExecutor(joblib.cpu_count(), thread_name_prefix="decode")
        self._thread = threading.Thread(target=self._run, name="compute", daemon=True)
        self._thread.start()
        size = self._newest.gallery().model.network.image_size
        black = Upload("black.png", encode_png(np.zeros((*size, 3), dtype=np.uint8)))
        try:
            await self.ask(Question("classify", await self.decode([black])))
        except InputError as error:  # an empty gallery, say, which may be filled
            log.warning("%s", error)

    async def stop(self) -> None:
        """Answer what was asked, and end the threads."""
        self._asked.put(None)
        await asyncio.to_thread(self._thread.join)
        self._decoders.shutdown()
        self._warnings.__exit__(None, None, None)

    async def decode(self, uploads: Sequence[Upload]) -> np.ndarray:
        """Bring images to the input of the network.

        Returns:
            uint8 `[n, H, W, 3]`.

        Raises:
            Refused: one of them cannot be read; the sentence names it as the client did.
            Unavailable: model and gallery do not fit at the moment.
        """
        model = self._newest.gallery().model
        size, fit = model.network.image_size, model.fit

        def read(upload: Upload) -> np.ndarray:
            name = one_line(upload.name)[:LONGEST_NAME] or "an image without a name"
            return read_image(upload.content, name, size, fit, self._most_pixels)

        pending = [self._loop.run_in_executor(self._decoders, read, one) for one in uploads]
        try:
            return np.stack([await one for one in pending])
        except InputError as error:  # its words are the client's: nothing in it is to be hidden
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None
        finally:
            for one in pending:  # of a request that is refused or given up, no more are begun
                if not one.cancel() and not one.cancelled():
                    one.exception()  # asyncio would log those that nobody asks for

    async def ask(self, question: Question) -> Any:
        """Wait for an answer; see `Question.kind`.

        Raises:
            InputError: as the methods of `Gallery` do.
            Unavailable: model and gallery do not fit at the moment.
        """
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._asked.put((question, answer))
        return await answer

    def _run(self) -> None:
        """Answer batch after batch, in the thread that computes."""
        going_on = True
        while going_on:
            batch: list[Asked] = []
            n_images = 0
            while not batch or (n_images < AT_ONCE and not self._asked.empty()):
                asked = self._asked.get()
                if asked is None:
                    going_on = False
                    break
                if not asked[1].cancelled():  # nobody waits any more
                    batch.append(asked)
                    n_images += len(asked[0].images)
            if batch:
                self._figures.batches.observe(n_images)
                outcomes = self._outcomes([question for question, _ in batch])
                futures = [future for _, future in batch]
                self._loop.call_soon_threadsafe(_deliver, futures, outcomes)

    def _outcomes(self, questions: Sequence[Question]) -> list[Any]:
        """Return the answer to each question, or the exception that was raised on the way."""
        outcomes: list[Any] = [None] * len(questions)
        try:
            gallery = self._newest.gallery()
            size = gallery.model.network.image_size
            if any(question.images.shape[1:3] != size for question in questions):
                # Decoded for another network, which has been replaced since.
                raise Unavailable("the model has just been replaced; ask again")
            embeddings = gallery.model.embed(np.concatenate([one.images for one in questions]))
        except Exception as error:
            return [error] * len(questions)
        ends = np.cumsum([len(question.images) for question in questions])
        parts = np.split(embeddings, ends[:-1])
        alike: dict[Any, list[int]] = defaultdict(list)
        for number, one in enumerate(questions):
            alike[one.kind, one.k, one.exact, one.far, one.label].append(number)
        for numbers in alike.values():
            try:
                found = _answers(
                    gallery,
                    [questions[number] for number in numbers],
                    [parts[number] for number in numbers],
                )
            except Exception as error:
                found = [error] * len(numbers)
            for number, outcome in zip(numbers, found, strict=True):
                outcomes[number] = outcome
        return outcomes


def _answers(
    gallery: Gallery, questions: Sequence[Question], parts: Sequence[np.ndarray]
) -> list[Any]:
    """Answer questions that ask alike, each about embeddings of its own, float32 `[n, D]`."""
    asked = questions[0]
    match asked.kind:
        case "embed":
            return list(parts)
        case "verify":
            calibration = gallery.model.calibration
            pair = np.array([0]), np.array([1])
            distances = [pair_distances(part, *pair).item() for part in parts]
            return [decide(distance, calibration, asked.far) for distance in distances]
        case "classify":
            found: list[Any] = gallery.classify_embeddings(
                np.concatenate(parts), asked.k, asked.exact
            )
        case "search":
            found = gallery.search_embeddings(np.concatenate(parts), asked.k, asked.exact)
        case "claim":
            images = np.concatenate([one.images for one in questions])
            found = gallery.verify_claim(images, asked.label, np.concatenate(parts))
    each = iter(found)
    return [list(islice(each, len(part))) for part in parts]


def _deliver(futures: "Sequence[asyncio.Future[Any]]", outcomes: Sequence[Any]) -> None:
    """Hand outcomes to those who wait, in the thread of the event loop."""
    for future, outcome in zip(futures, outcomes, strict=True):
        if future.cancelled():
            continue
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
