"""What may be concluded from a comparison, in sentences: about two models, or about a setting."""

from collections.abc import Sequence

from siamese.comparison.compare import Compared, Comparison
from siamese.comparison.provenance import changes_between, names_of, seeds_of
from siamese.comparison.significance import RESAMPLES

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
    """Say in plain words what may be concluded, and what may not, in one or two sentences each."""
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
    seeds = changes_between(
        seeds_of(comparison.base[0].stages), seeds_of(comparison.head[0].stages)
    )
    if seeds and not comparison.setting_changes:
        return (
            "The two runs differ only in seeds: any difference between the models is the luck"
            " of training, not the effect of a setting."
        )
    return (
        "Two single runs cannot show that a setting helps: training again with another seed would"
        " give other models. To show it takes several seeds per side (`make seeds`), compared as"
        " groups (`siamese compare BASE HEAD --seeds`)."
    )


def _about_setting(comparison: Comparison) -> str:
    n_base, n_head = len(comparison.base), len(comparison.head)
    runs = f"{n_base} runs against {n_head}, each with its own seeds"
    if not comparison.differing:
        return (
            f"No effect of the setting is shown ({runs}). An effect within the intervals is still"
            " possible: more runs would show it."
        )
    return f"The setting makes a difference ({runs}): {_better_and_worse(comparison.differing)}."


def _about_causes(comparison: Comparison) -> str:
    causes = comparison.setting_changes
    if not causes:
        return "Both sides have the same setting: any difference between them is chance."
    names = names_of(causes)
    if len(causes) == 1:
        return f"The claim is about the setting: {names} is all that differs."
    return f"The claim is about all that differs in the setting, taken together: {names}."
