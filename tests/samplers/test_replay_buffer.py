from __future__ import annotations

import pytest
import torch

from ebm_course.samplers.replay_buffer import ReplayBuffer


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_pushed_state_is_found_again_in_its_slot():
    buffer = ReplayBuffer(torch.arange(6.0)[:, None])
    states, slots = buffer.sample(3, generator=generator())
    torch.testing.assert_close(states[:, 0], slots.float())
    buffer.push(slots, states + 100)
    expected = torch.arange(6.0)
    expected[slots] += 100
    assert torch.equal(buffer.states[:, 0], expected)


def test_slots_differ_and_every_slot_is_as_likely():
    buffer, g, counts, n = ReplayBuffer(torch.zeros(10, 1)), generator(), torch.zeros(10), 3000
    for _ in range(n):
        _, slots = buffer.sample(3, generator=g)
        assert len(slots.unique()) == 3
        counts += torch.bincount(slots, minlength=10)
    assert ((counts / n - 0.3).abs() < 5 * (0.3 * 0.7 / n) ** 0.5).all()


def test_the_share_of_restarts_is_the_probability_asked_for():
    buffer, n = ReplayBuffer(torch.zeros(20_000, 2)), 20_000
    states, _ = buffer.sample(n, restart_probability=0.05, fresh=torch.ones(n, 2), generator=generator())
    assert torch.equal(states[:, 0], states[:, 1])
    assert states[:, 0].mean().item() == pytest.approx(0.05, abs=5 * (0.05 * 0.95 / n) ** 0.5)


def test_all_chains_restart_with_probability_one_and_tokens_stay_tokens():
    buffer, fresh = ReplayBuffer(torch.zeros(4, 3).long()), torch.randint(1, 5, (4, 3))
    states, _ = buffer.sample(4, restart_probability=1.0, fresh=fresh, generator=generator())
    assert torch.equal(states, fresh) and states.dtype == torch.int64


def test_what_goes_in_and_out_is_copied():
    start = torch.zeros(3, 1)
    buffer = ReplayBuffer(start)
    states, slots = buffer.sample(3, generator=generator())
    states += 1
    start += 2
    assert (buffer.states == 0).all()
    buffer.push(slots, torch.ones(3, 1, requires_grad=True))
    assert not buffer.states.requires_grad


def test_a_loaded_buffer_continues_the_same_chains():
    buffer, other = ReplayBuffer(torch.randn(5, 2)), ReplayBuffer(torch.zeros(5, 2))
    other.load_state_dict(buffer.state_dict())
    for one, two in zip(buffer.sample(3, generator=generator()), other.sample(3, generator=generator()), strict=True):
        assert torch.equal(one, two)
    other.push(torch.arange(5), torch.zeros(5, 2))
    assert not (buffer.states == 0).any()


def test_misfits_are_refused():
    buffer = ReplayBuffer(torch.zeros(4, 2))
    with pytest.raises(ValueError, match="expected 1 to 4"):
        buffer.sample(5, generator=generator())
    with pytest.raises(ValueError, match=r"fresh states of shape \(2, 2\) of torch\.float32: got none"):
        buffer.sample(2, restart_probability=0.1, generator=generator())
    with pytest.raises(ValueError, match=r"got shape \(3, 2\)"):
        buffer.sample(2, restart_probability=0.1, fresh=torch.zeros(3, 2), generator=generator())
    with pytest.raises(ValueError, match=r"of torch\.float32: got shape \(2, 2\) of torch\.int64"):
        buffer.sample(2, restart_probability=0.1, fresh=torch.zeros(2, 2).long(), generator=generator())
    with pytest.raises(ValueError, match=r"the slots take states \(2, 2\)"):
        buffer.push(torch.arange(2), torch.zeros(3, 2))
    with pytest.raises(ValueError, match="int64"):
        buffer.push(torch.arange(2), torch.zeros(2, 2).long())
    with pytest.raises(ValueError, match="as many states as were saved"):
        buffer.load_state_dict({"states": torch.zeros(3, 2)})
    with pytest.raises(ValueError, match="C > 0"):
        ReplayBuffer(torch.zeros(0, 2))


@pytest.mark.parametrize("p", [-0.1, 7.0, torch.nan])
def test_a_share_of_restarts_outside_0_to_1_is_refused(p: float) -> None:
    buffer, fresh = ReplayBuffer(torch.zeros(4, 2)), torch.ones(2, 2)
    with pytest.raises(ValueError, match=f"expected 0 to 1, got {p}"):
        buffer.sample(2, restart_probability=p, fresh=fresh, generator=torch.Generator())


def labelled(n: int = 12, n_classes: int = 3) -> ReplayBuffer:
    """Slot i holds the state i; its class is i mod the number of classes."""
    return ReplayBuffer(torch.arange(float(n))[:, None], labels=torch.arange(n) % n_classes)


def test_every_chain_comes_from_a_slot_of_its_class_and_no_slot_twice() -> None:
    buffer, wanted = labelled(), torch.tensor([2, 0, 2, 2, 1, 2])
    for seed in range(20):
        states, slots = buffer.sample(6, labels=wanted, generator=generator(seed))
        assert torch.equal(buffer.labels[slots], wanted)
        assert torch.equal(states[:, 0], slots.float())
        assert len(slots.unique()) == 6


def test_every_slot_of_a_class_is_as_likely_for_every_chain() -> None:
    buffer, g, n = labelled(), generator(), 4_000
    counts = torch.zeros(2, 12)
    for _ in range(n):
        _, slots = buffer.sample(3, labels=torch.tensor([1, 0, 1]), generator=g)
        counts[0, slots[0]] += 1
        counts[1, slots[2]] += 1
    share, expected = counts / n, (torch.arange(12) % 3 == 1).float() / 4
    assert ((share - expected).abs() <= 5 * (expected * (1 - expected) / n).sqrt()).all()


def test_fresh_states_restart_chains_of_their_own_class() -> None:
    buffer, wanted = labelled(300), torch.arange(300) % 3
    fresh = -1.0 - wanted[:, None]
    states, slots = buffer.sample(300, labels=wanted, fresh=fresh, restart_probability=0.5, generator=generator())
    restarted = states[:, 0] < 0
    assert 0 < restarted.sum() < 300
    assert torch.equal(states[restarted], fresh[restarted])
    assert torch.equal(buffer.labels[slots], wanted)


def test_a_slot_keeps_its_class_unless_another_is_pushed() -> None:
    buffer = labelled()
    _, slots = buffer.sample(4, generator=generator())
    before = buffer.labels.clone()
    buffer.push(slots, torch.zeros(4, 1))
    assert torch.equal(buffer.labels, before)
    buffer.push(slots, torch.zeros(4, 1), labels=torch.tensor([0, 1, 2, 0]))
    assert torch.equal(buffer.labels[slots], torch.tensor([0, 1, 2, 0]))


def test_labels_change_no_draw_that_does_not_ask_for_them() -> None:
    plain = ReplayBuffer(torch.arange(12.0)[:, None]).sample(5, generator=generator())
    for one, two in zip(plain, labelled().sample(5, generator=generator()), strict=True):
        assert torch.equal(one, two)


def test_labels_are_copied_and_saved_with_the_states() -> None:
    labels = torch.arange(12) % 3
    buffer, other = ReplayBuffer(torch.randn(12, 2), labels), ReplayBuffer(torch.zeros(12, 2), torch.zeros(12).long())
    labels += 1
    assert torch.equal(buffer.labels, torch.arange(12) % 3)
    other.load_state_dict(buffer.state_dict())
    assert torch.equal(other.labels, buffer.labels) and torch.equal(other.states, buffer.states)
    assert set(ReplayBuffer(torch.zeros(2, 1)).state_dict()) == {"states"}


def test_labels_that_do_not_fit_are_refused() -> None:
    buffer, plain = labelled(), ReplayBuffer(torch.zeros(4, 1))
    with pytest.raises(ValueError, match="5 chains of class 1 were asked for, the buffer holds 4: expected no more"):
        buffer.sample(5, labels=torch.ones(5).long(), generator=generator())
    with pytest.raises(ValueError, match="1 chains of class 7 were asked for, the buffer holds 0"):
        buffer.sample(1, labels=torch.tensor([7]), generator=generator())
    with pytest.raises(ValueError, match="labels were asked for, this buffer has none"):
        plain.sample(1, labels=torch.tensor([0]), generator=generator())
    with pytest.raises(ValueError, match="labels were given, this buffer has none"):
        plain.push(torch.tensor([0]), torch.zeros(1, 1), labels=torch.tensor([0]))
    for wrong in (torch.zeros(3).long(), torch.zeros(4), torch.tensor([0, 0, 0, -1])):
        with pytest.raises(ValueError, match=r"labels have shape \(4,\) of torch\.int64, 0 or larger"):
            ReplayBuffer(torch.zeros(4, 1), labels=wrong)
    with pytest.raises(ValueError, match="no labels were saved with the states"):
        labelled(4).load_state_dict(plain.state_dict())
    with pytest.raises(ValueError, match=r"^labels were saved with the states"):
        plain.load_state_dict(labelled(4).state_dict())


def by_class() -> ReplayBuffer:
    return ReplayBuffer(torch.arange(6.0)[:, None], labels=torch.arange(6) % 3)


@pytest.mark.parametrize("wrong", [7, 10**12])
def test_a_class_that_the_buffer_does_not_know_costs_no_memory(wrong):
    labels = torch.tensor([1, wrong])
    with pytest.raises(ValueError, match=f"1 chains of class {wrong} were asked for, the buffer holds 0: expected no"):
        by_class().sample(2, labels=labels, generator=generator())
    named = ReplayBuffer(torch.arange(6.0)[:, None], labels=torch.tensor([wrong, 0, wrong, 0, wrong, 0]))
    _, slots = named.sample(3, labels=torch.tensor([0, wrong, wrong]), generator=generator())
    assert named.labels[slots].tolist() == [0, wrong, wrong] and len(set(slots.tolist())) == 3


@pytest.mark.parametrize("n", [1.5, 2.0, "2", None])
def test_chains_are_asked_for_in_whole_numbers(n):
    with pytest.raises(ValueError, match=f"{n} chains were asked for, the buffer holds 6: expected 1 to 6"):
        by_class().sample(n, generator=generator())


@pytest.mark.parametrize("slots", [[6], [-1], [1.0], [[1]]])
def test_slots_that_the_buffer_does_not_have_are_refused(slots):
    with pytest.raises(ValueError, match=r"slots are int64 \(n,\) of 0 to 5: got \(1.*Pass those of sample\(\)"):
        by_class().push(torch.tensor(slots), torch.zeros(1, 1))


@pytest.mark.parametrize("labels", [torch.tensor([2]), torch.arange(6) - 3, torch.arange(6) + 0.7])
def test_saved_labels_that_are_none_of_its_states_are_refused_before_anything_is_loaded(labels):
    buffer = by_class()
    with pytest.raises(ValueError, match=r"labels have shape \(6,\) of torch.int64, 0 or larger"):
        buffer.load_state_dict({"states": torch.zeros(6, 1), "labels": labels})
    assert torch.equal(buffer.states, by_class().states) and torch.equal(buffer.labels, by_class().labels)


def test_a_buffer_made_in_inference_mode_can_be_changed_outside_of_it():
    with torch.inference_mode():
        buffer = by_class()
    buffer.push(torch.tensor([2]), torch.tensor([[9.0]]), labels=torch.tensor([0]))
    assert buffer.states[2] == 9 and buffer.labels[2] == 0


def test_what_is_no_tensor_is_called_so():
    buffer, slot = ReplayBuffer(torch.zeros(4, 2)), torch.tensor([0])
    calls = {
        "states are a tensor: got a list": lambda: ReplayBuffer([[0.0]]),
        "labels are a tensor: got a list": lambda: ReplayBuffer(torch.zeros(2, 2), [0, 1]),
        "slots are a tensor: got a list": lambda: buffer.push([0], torch.zeros(1, 2)),
        "states are a tensor: got a tuple": lambda: buffer.push(slot, (0.0, 0.0)),
        "fresh are a tensor: got a float": lambda: buffer.sample(
            1, restart_probability=0.5, fresh=1.0, generator=generator()
        ),
    }
    for words, call in calls.items():
        with pytest.raises(TypeError, match=words):
            call()


def test_no_state_is_lost_in_a_slot_given_twice():
    buffer = ReplayBuffer(torch.zeros(4, 2))
    with pytest.raises(ValueError, match=r"got \(2,\) of torch\.int64, 1 to 1\. Pass those of sample\(\), each once"):
        buffer.push(torch.tensor([1, 1]), torch.ones(2, 2))
    assert not buffer.states.any()


def test_a_state_that_is_no_number_does_not_enter():
    buffer = by_class()
    before = buffer.states.clone()
    with pytest.raises(FloatingPointError, match="a state for the buffer is not finite in 1 of 2 entries"):
        buffer.push(torch.tensor([0, 1]), torch.tensor([[1.0], [torch.nan]]), labels=torch.tensor([0, 0]))
    assert torch.equal(buffer.states, before) and torch.equal(buffer.labels, by_class().labels)


def test_no_graph_enters_or_leaves_a_buffer():
    buffer = ReplayBuffer(torch.zeros(4, 2))
    buffer.load_state_dict({"states": torch.ones(4, 2, requires_grad=True)})
    fresh = torch.zeros(2, 2, requires_grad=True)
    drawn, _ = buffer.sample(2, restart_probability=1.0, fresh=fresh, generator=generator())
    assert not buffer.states.requires_grad and not drawn.requires_grad and buffer.states.all()
