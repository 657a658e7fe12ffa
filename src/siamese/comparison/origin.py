"""What a workspace's figures were made from, told where it is not what stands there now."""

from siamese.comparison.provenance import (
    LOCK,
    PARAMS,
    Change,
    changed_metrics,
    changed_params,
    names_of,
    outrun,
    read_lock,
)
from siamese.comparison.revisions import Revision


def about_origin(revision: Revision) -> list[str]:
    """Say what a reader of the figures must know first; an empty list if they are the revision's.

    The code is not compared: see `stale`, which takes longer.

    Raises:
        InputError: dvc.lock or params.yaml cannot be read.
    """
    if not revision.has(LOCK):
        return [f"There is no {LOCK}, so nothing tells what these figures were made with."]
    stages = read_lock(revision)
    sentences = []
    if changed := changed_params(revision, stages):
        sentences.append(
            f"These figures were made with {_in_words(changed)}; `dvc repro` makes those of"
            f" {PARAMS}."
        )
    if paths := outrun(stages):
        sentences.append(
            f"{', '.join(paths)}: made anew after these figures, by a `dvc repro` that did not come"
            " to its end; run it again."
        )
    if files := changed_metrics(revision, stages):
        verb, them = ("is", "it") if len(files) == 1 else ("are", "them")
        sentences.append(
            f"{', '.join(files)} {verb} not what {LOCK} records: edited by hand, or of another run;"
            f" `dvc repro` makes {them} anew."
        )
    return sentences


def _in_words(changed: list[Change]) -> str:
    first, *others = changed
    now = f"not {first.head}" if first.head is not None else f"which {PARAMS} no longer has"
    words = f"{first.name} {first.base}, {now}"
    if not others:
        return words
    more = f"{len(others)} more parameters differ" if len(others) > 1 else "another differs"
    return f"{words} ({more}: {names_of(others)})"
