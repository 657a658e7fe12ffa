"""How fast `siamese serve` answers on a finished project, over HTTP on this machine.

    python bench/serve.py --workspace .

Needs `data/model`, `data/gallery` and `data/prepared` there. Starts the service as its own process,
and the clients as another, which sends test images as PNG over connections that stay open. Prints
JSON, and a table in Markdown to stderr:

- one image at a time, over one connection: median and 95th percentile
- requests with one image each, from many connections that each wait for their answer
- the search alone, in this process: vectors in, neighbours out
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

SOURCE = Path(__file__).resolve().parents[1] / "src"
IMAGES = 64


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workspace", type=Path, default=Path())
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement")
    parser.add_argument("--runtimes", nargs="+", default=["torch"], choices=["torch", "onnx"])
    parser.add_argument("--ask", metavar="URL", help=argparse.SUPPRESS)  # the process of clients
    options = parser.parse_args()
    if options.ask:
        images = [bytes.fromhex(line) for line in sys.stdin]
        requests = [request_of(options.ask, image) for image in images]
        seconds = asyncio.run(ask(options.ask, requests, options.clients, options.seconds))
        json.dump(seconds, sys.stdout)
        return
    from machine import machine  # with torch, which the process of clients does without

    sys.path.insert(0, str(SOURCE))
    os.chdir(options.workspace)
    images = test_images()
    report: dict[str, Any] = {"machine": machine()}
    for runtime in options.runtimes:
        with serving(runtime) as url:
            clients_asking(url, images, 1, 2)  # once for what is made at the first answers
            alone = clients_asking(url, images, 1, options.seconds)
            many = clients_asking(url, images, options.clients, options.seconds)
        report[f"over HTTP, {runtime}"] = {
            "one by one": summary(alone, options.seconds),
            f"{options.clients} clients": summary(many, options.seconds),
        }
    report["search alone"] = searching(options.seconds / 3)
    print(json.dumps(report, indent=2))
    print(table(report), file=sys.stderr)


def test_images() -> list[bytes]:
    """Return some test images as PNG files."""
    from siamese.base.dataset import load_dataset
    from siamese.gallery.png import encode_png

    dataset = load_dataset(Path("data/prepared"))
    return [encode_png(dataset.images[row]) for row in dataset.rows("test")[:IMAGES]]


@contextmanager
def serving(runtime: str) -> Iterator[str]:
    """Run the service, and yield its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "siamese.cli.main", "serve", "--port", "0", "--runtime", runtime],
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield next(line.split()[0] for line in process.stdout if line.startswith("http"))
    finally:
        process.terminate()
        process.wait()


def clients_asking(url: str, images: Sequence[bytes], clients: int, seconds: float) -> list[float]:
    """Let another process ask; return how long each answer took, in seconds."""
    done = subprocess.run(
        [sys.executable, __file__, f"--ask={url}", f"--clients={clients}", f"--seconds={seconds}"],
        input="\n".join(image.hex() for image in images),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def request_of(url: str, image: bytes) -> bytes:
    """Return the bytes of a request to classify an image."""
    body = (
        b'--b\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n\r\n'
        + image
        + b"\r\n--b--\r\n"
    )
    head = (
        f"POST /classify HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\n"
        f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def ask(
    url: str, requests: Sequence[bytes], clients: int, wanted_seconds: float
) -> list[float]:
    """Ask from many connections; not by a library, which would take the service's cores."""
    seconds: list[float] = []
    end = time.perf_counter() + wanted_seconds

    async def client(number: int) -> None:
        address = urlsplit(url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        while (start := time.perf_counter()) < end:
            writer.write(requests[number % len(requests)])
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            seconds.append(time.perf_counter() - start)
            number += 1
        writer.close()

    await asyncio.gather(*(client(number) for number in range(clients)))
    return seconds


def searching(seconds: float) -> dict[str, float]:
    """Return how many queries the gallery answers per second, one by one and in batches of 32."""
    import torch

    from siamese import Gallery, load_model
    from siamese.base.dataset import load_dataset

    model = load_model("data/model")
    gallery = Gallery.open("data/gallery", model)
    gallery.hold()
    dataset = load_dataset(Path("data/prepared"))
    queries = model.embed(np.asarray(dataset.images[dataset.rows("test")[:512]]))
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    return {
        f"queries/s, {at_once} at once": round(
            rate(lambda part: gallery.search_embeddings(part, 10), queries, at_once, seconds), 1
        )
        for at_once in (1, 32)
    }


def rate(
    search: Callable[[np.ndarray], Any], queries: np.ndarray, at_once: int, seconds: float
) -> float:
    """Return queries per second."""
    search(queries[:at_once])
    start = time.perf_counter()
    n_answered = 0
    while (elapsed := time.perf_counter() - start) < seconds:
        first = n_answered % (len(queries) - at_once + 1)
        search(queries[first : first + at_once])
        n_answered += at_once
    return n_answered / elapsed


def summary(seconds: Sequence[float], elapsed: float) -> dict[str, float]:
    """Return median and 95th percentile in milliseconds, and the rate."""
    return {
        "p50_ms": round(1000 * statistics.median(seconds), 2),
        "p95_ms": round(1000 * float(np.quantile(seconds, 0.95)), 2),
        "requests_per_s": round(len(seconds) / elapsed, 1),
    }


def table(report: dict[str, Any]) -> str:
    """Lay out the figures in Markdown."""
    about = report["machine"]
    lines = [
        f"{about['cores']} cores, {about['cpu']}, PyTorch {about['torch']}",
        "",
        "| | p50 | p95 | requests/s |",
        "|---|---|---|---|",
    ]
    for name, figures in report.items():
        if name.startswith("over HTTP"):
            for load, one in figures.items():
                lines.append(
                    f"| {name}, {load} | {one['p50_ms']} ms | {one['p95_ms']} ms |"
                    f" {one['requests_per_s']} |"
                )
    lines += [
        f"| search alone, {name} | | | {value} |" for name, value in report["search alone"].items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
