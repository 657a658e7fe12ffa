"""What every stage does first: stand in its own workspace, import its own code, fail in one line.

`dvc exp run --temp` and `--queue` run a copy of the workspace. It must be *that copy's* `src` that
is imported, not the one that was installed, so the folder beside this file goes first on the path.
"""

import csv
import os
import sys
import time
from collections.abc import Callable
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STARTED_IN = Path.cwd()
TIMINGS = ROOT / "logs" / "timings.csv"  # ignored by Git and DVC: outputs hold no clock readings
NEEDED = (
    *("matplotlib", "numpy", "pandas", "PIL", "pyarrow", "pydantic", "requests", "safetensors"),
    *("sklearn", "torch", "torchvision", "tqdm", "yaml"),
)

os.chdir(ROOT)
sys.path.insert(0, str(ROOT / "src"))
if missing := [name for name in NEEDED if find_spec(name) is None]:
    sys.exit(
        f"{sys.executable} lacks {', '.join(missing)}. Run `make repro`, or first put the right"
        " Python on the path: `make setup && source .venv/bin/activate`."
    )


def run(main: Callable[[], None]) -> None:
    """Run a stage: success leaves a line in the log.

    Wrong input ends it with one plain message; a signal as convention has it, by that signal.
    """
    from siamese.base.errors import InputError, Interrupted, explained
    from siamese.base.terminal import print_any_name

    name = Path(sys.argv[0]).stem
    rank = os.environ.get("RANK", "0")  # among processes that train together
    print_any_name()
    start = time.perf_counter()
    try:
        main()
        _log(name, time.perf_counter() - start)
    except InputError as error:
        if rank == "0":
            sys.exit(f"{name}: {error}")
        sys.exit(1 if error.met_by_all else f"{name}: process of rank {rank}: {error}")
    except (OSError, MemoryError) as error:
        sys.exit(f"{name}: {explained(error)}")
    except Interrupted as interruption:
        if rank == "0":
            print(f"{name}: {interruption}", file=sys.stderr, flush=True)
        interruption.end_process()
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        sys.exit(130)


def _log(stage: str, seconds: float) -> None:
    TIMINGS.parent.mkdir(exist_ok=True)
    is_new = not TIMINGS.exists()
    with TIMINGS.open("a", newline="") as log:
        writer = csv.writer(log)
        if is_new:
            writer.writerow(["finished", "stage", "seconds"])
        finished = datetime.now().isoformat(timespec="seconds")
        writer.writerow([finished, stage, f"{seconds:.1f}"])
