from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emofuse.core.labels import AFFWILD2, AFFWILD2_8, FER2013, FERPLUS, RAVDESS, TO_AFFWILD2, LabelSet, to_affwild2
from emofuse.errors import LabelError

label_sets = st.lists(st.text("abcxyzé-", min_size=1, max_size=4), min_size=1, max_size=6, unique=True).map(
    lambda names: LabelSet(tuple(names))
)

# Label sets


@pytest.mark.parametrize("names", [(), ("a", ""), ("a", "  "), ("a", 3)])
def test_a_label_set_without_names_or_with_empty_ones_is_refused(names):
    with pytest.raises(LabelError, match="give at least one name, none of them empty"):
        LabelSet(names)


def test_a_label_set_with_a_repeated_name_is_refused():
    with pytest.raises(LabelError, match="a name occurs twice; make the names distinct"):
        LabelSet(("joy", "fear", "joy"))


def test_label_sets_of_the_same_names_in_another_order_differ():
    assert LabelSet(("a", "b")) != LabelSet(("b", "a"))


def test_a_label_set_made_from_a_list_equals_one_made_from_a_tuple():
    assert LabelSet(["a", "b"]) == LabelSet(("a", "b"))  # type: ignore[arg-type]


def test_the_error_for_an_unknown_name_lists_the_known_ones():
    with pytest.raises(LabelError, match=r"^label 'joy' is not one of no, yes\.$"):
        LabelSet(("no", "yes")).index("joy")


# Indices and names


@given(label_sets, st.data())
def test_decoding_encoded_names_returns_them(label_set, data):
    names = data.draw(st.lists(st.sampled_from([*label_set.names, None])))
    assert label_set.decode(label_set.encode(names)) == names


@given(label_sets, st.data())
def test_encoding_decoded_indices_returns_them(label_set, data):
    indices = data.draw(st.lists(st.integers(-1, len(label_set) - 1)))
    assert label_set.encode(label_set.decode(indices)).tolist() == indices


def test_an_unknown_name_is_not_encoded():
    with pytest.raises(LabelError, match="label 'maybe' is not one of no, yes"):
        LabelSet(("no", "yes")).encode(["yes", "maybe"])


@pytest.mark.parametrize(("indices", "found"), [([0, 2], "0 to 2"), ([-2, 1], "-2 to 1")])
def test_indices_outside_the_set_are_refused_with_the_allowed_range(indices, found):
    with pytest.raises(LabelError, match=f"run from {found}, but the set has 2 names; give -1 to 1"):
        LabelSet(("no", "yes")).decode(indices)


@pytest.mark.parametrize("indices", [[0.7], [float("nan")], [True], ["yes"]])
def test_indices_that_are_not_integers_are_refused(indices):
    with pytest.raises(LabelError, match=r"label indices have type .*; give integers"):
        LabelSet(("no", "yes")).decode(indices)


# Mappings


@given(label_sets, st.randoms(use_true_random=False))
def test_a_mapping_to_a_permutation_keeps_every_name(label_set, random):
    names = list(label_set.names)
    random.shuffle(names)
    other = LabelSet(tuple(names))
    table = label_set.mapping_to(other, {n: n for n in names})
    assert other.decode(table) == list(label_set.names)


def test_a_name_mapped_to_none_becomes_unlabelled():
    source, target = LabelSet(("calm", "sad")), LabelSet(("other", "sadness"))
    assert source.mapping_to(target, {"calm": None, "sad": "sadness"}).tolist() == [-1, 1]


def test_a_mapping_with_missing_names_lists_them():
    with pytest.raises(LabelError, match=r"mapping of labels: b, c missing; map every name, to None"):
        LabelSet(("a", "b", "c")).mapping_to(LabelSet(("x",)), {"a": "x"})


def test_a_mapping_to_an_unknown_name_is_refused():
    with pytest.raises(LabelError, match="label 'z' is not one of x"):
        LabelSet(("a",)).mapping_to(LabelSet(("x",)), {"a": "z"})


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (AFFWILD2, [0, 1, 2, 3, 4, 5, 6]),
        (AFFWILD2_8, [0, 1, 2, 3, 4, 5, 6, -1]),
        (FER2013, [1, 2, 3, 4, 5, 6, 0]),
        (FERPLUS, [0, 4, 6, 5, 1, 2, 3, -1, -1, -1]),
        (RAVDESS, [0, 0, 4, 5, 1, 3, 2, 6]),
    ],
    ids=["AFFWILD2", "AFFWILD2_8", "FER2013", "FERPLUS", "RAVDESS"],
)
def test_the_known_sets_map_to_affwild2_as_worked_by_hand(source, expected):
    assert to_affwild2(source).tolist() == expected


@pytest.mark.parametrize("source", TO_AFFWILD2, ids=lambda s: s.names[0] + str(len(s)))
def test_every_emotion_of_affwild2_occurs_in_every_known_set(source):
    assert set(to_affwild2(source).tolist()) >= set(range(7))


def test_a_known_set_in_another_order_is_not_mapped_by_position():
    with pytest.raises(LabelError, match=r"there is no mapping to .*; create one with mapping_to"):
        to_affwild2(LabelSet(tuple(reversed(FER2013.names))))


def test_a_table_maps_an_array_of_labels():
    fer = FER2013.encode(["happy", "neutral"])
    assert AFFWILD2.decode(to_affwild2(FER2013)[np.array(fer)]) == ["happiness", "neutral"]
