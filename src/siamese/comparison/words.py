"""What may be concluded from a comparison, in plain words: about two models, or about a setting."""

from collections.abc import Sequence

from siamese.comparison.comparison import Compared, Comparison, listed
from siamese.comparison.paired_tests import RESAMPLES
from siamese.comparison.provenance import changes_between, seeds_of

METHOD = {
    "models": (
        "p: McNemar's exact test for right-or-wrong figures, for the others a paired bootstrap"
        f" ({RESAMPLES:,} resamples of the test images); corrected for the number of figures"
        " (Holm). The intervals are not corrected."
    ),
    "setting": (
        "p: Welch's t-test on the runs' values, corrected for the number of figures (Holm). The"
        " intervals are not corrected. ±: standard deviation of the runs."
    ),
}


def conclusions(comparison: Comparison) -> list[str]:
    """Say in plain words what may be concluded, and what may not; a sentence or two each."""
    if comparison.claim == "models":
        return [_about_models(comparison), _about_one_run_each(comparison)]
    return [_about_setting(comparison), _about_causes(comparison)]


def _about_models(comparison: Comparison) -> str:
    differing = comparison.differing
    n_tested = sum(compared.outcome is not None for compared in comparison.metrics)
    if not differing:
        return f"These two models: no difference shown in any of the {n_tested} figures tested."
    rest = n_tested - len(differing)
    others = f"; in the other {rest} no difference is shown" if rest else ""
    return f"These two models differ: the head is {_better_and_worse(differing)}{others}."


def _better_and_worse(differing: Sequence[Compared]) -> str:
    parts = []
    for word, is_better in (("better", True), ("worse", False)):
        names = [
            f"{compared.metric} ({100 * compared.difference:+.2f} points)"
            for compared in differing
            if compared.is_better == is_better
        ]
        if names:
            parts.append(f"{word} in {', '.join(names)}")
    return ", and ".join(parts)


def _about_one_run_each(comparison: Comparison) -> str:
    if not comparison.setting_changes and comparison.changes:
        seeds = changes_between(
            seeds_of(comparison.base[0].stages), seeds_of(comparison.head[0].stages)
        )
        if seeds:
            return (
                "The two runs differ in seeds alone: what differs between the models is the luck of"
                " training, and the effect of no setting."
            )
    return (
        "Two single runs cannot show that a setting helps: training again with another seed would"
        " give other models. That takes several seeds of each side (`make seeds`), compared as"
        " groups (`siamese compare BASE HEAD --seeds`)."
    )


def _about_setting(comparison: Comparison) -> str:
    n_base, n_head = len(comparison.base), len(comparison.head)
    runs = f"{n_base} runs against {n_head}, each with seeds of its own"
    if not comparison.differing:
        return (
            f"No effect of the setting is shown ({runs}). An effect within the intervals may be"
            " there all the same: more runs would show it."
        )
    return f"The setting makes a difference ({runs}): {_better_and_worse(comparison.differing)}."


def _about_causes(comparison: Comparison) -> str:
    causes = comparison.setting_changes
    if not causes:
        return "Both sides have the same setting: any difference between them is chance."
    names = listed([change.name for change in causes])
    if len(causes) == 1:
        return f"The claim is about the setting: {names} is all that differs."
    return f"The claim is about all that differs in the setting, taken together: {names}."
