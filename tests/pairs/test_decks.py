"""The two formulas behind all pairs, by hand and against enumeration."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamese.pairs import decks
from siamese.pairs.decks import Decks, meet_between, meet_within
from tests.support.made_up_samples import made_up


def test_four_cards_meet_in_three_rounds_of_two_turns() -> None:
    meetings = [[0, 3], [1, 2], [1, 3], [2, 0], [2, 3], [0, 1]]
    assert meet_within(4, np.arange(6)).tolist() == meetings
    assert meet_within(4, np.arange(6, 12)).tolist() == meetings


def test_the_second_of_two_decks_moves_ahead_before_a_pair_comes_back() -> None:
    meetings = meet_between(np.array([2, 4]), np.arange(8))
    assert meetings.tolist() == [
        *([0, 0], [1, 1], [0, 2], [1, 3]),
        *([0, 1], [1, 2], [0, 3], [1, 0]),
    ]


@given(st.integers(2, 12), st.data())
def test_all_of_a_deck_meet_once_and_equally_often_on_the_way(
    size: int, data: st.DataObject
) -> None:
    everyone = {frozenset(two) for two in itertools.combinations(range(size), 2)}
    turns = data.draw(st.integers(0, len(everyone)))
    meetings = meet_within(np.full(len(everyone), size), np.arange(len(everyone))).tolist()
    assert {frozenset(two) for two in meetings} == everyone
    uses = Counter(card for two in meetings[:turns] for card in two)
    assert max(uses[c] for c in range(size)) - min(uses[c] for c in range(size)) <= 1 + size % 2


@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_all_of_two_decks_meet_once_and_equally_often_on_the_way(
    one: int, two: int, data: st.DataObject
) -> None:
    turns = data.draw(st.integers(0, one * two))
    meetings = meet_between(np.array([one, two]), np.arange(2 * one * two)).tolist()
    assert set(map(tuple, meetings)) == set(itertools.product(range(one), range(two)))
    assert meetings[: one * two] == meetings[one * two :]
    for side, size in enumerate((one, two)):
        uses = Counter(meeting[side] for meeting in meetings[:turns])
        assert max(uses[c] for c in range(size)) - min(uses[c] for c in range(size)) <= 2


def test_copies_are_skipped_however_many_turns_that_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 60 samples in each of two classes 59 are one image: 59 like pairs, 119 unlike ones."""
    dataset = made_up([60, 60], ("train",))
    first = [int(np.flatnonzero(dataset.fine() == label)[0]) for label in (0, 1)]
    rest = [row for row in range(120) if row not in first]
    dataset = made_up([60, 60], ("train",), dict.fromkeys(rest[1:], rest[0]))
    dealt = []
    for turns_at_once in (2**20, 7):
        monkeypatch.setattr(decks, "TURNS_AT_ONCE", turns_at_once)
        deck = Decks.of(dataset, dataset.rows("train"), "made up")
        assert deck.like_supply().tolist() == [59, 59]
        assert deck.unlike_supply() == 119
        rng = np.random.default_rng(0)
        like = deck.deal_like(np.repeat([0, 1], [59, 118]), rng)
        unlike = deck.deal_unlike(np.repeat([[1, 0]], 119, axis=0), np.zeros(120, dtype=int), rng)
        dealt.append([like, unlike])
    assert all(map(np.array_equal, *dealt))
    assert len(set(map(frozenset, like[:59].tolist()))) == 59
    assert set(Counter(map(frozenset, like[59:].tolist())).values()) == {2}
    assert len(set(map(frozenset, unlike.tolist()))) == 119
    assert (deck.column[unlike] == [1, 0]).all()
