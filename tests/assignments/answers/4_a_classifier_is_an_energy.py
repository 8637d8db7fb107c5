"""Answers to assignment 4: wrong ones, with words of the reason to be given, and right ones unlike the solution."""

ENERGY = "def energy(logits):\n    return {}\n"
JOINT = "def joint_energy(logits, y):\n    return {}\n"
LOSS = """\
def jem_loss(net, x, y, negatives):
    logits = net(x)
    e_data, e_negative = -logits.logsumexp(1), -net({}).logsumexp(1)
    return {}
"""
START = "def start_states(buffer, slots, fresh, anew):\n    {}\n    return {}\n"
UPDATE = """\
def jem_update(net, optimizer, x, y, buffer, slots, fresh, anew, generator):
    starts = start_states(buffer, slots, fresh, {anew})
    samples = {samples}
    loss = jem_loss(net, x, y, samples)
    {zero}
    loss.backward()
    {step}
    {back}
    return {end}
"""
USUAL = {
    "anew": "anew",
    "samples": "langevin_steps(net, starts, generator)",
    "zero": "optimizer.zero_grad()",
    "step": "optimizer.step()",
    "back": "buffer[slots] = samples",
    "end": "loss.item()",
}

WRONG = {
    "q4_1": [
        (ENERGY.format("logits.logsumexp(1)"), "the sign"),
        (ENERGY.format("-logits.amax(1)"), "soft minimum"),
        (ENERGY.format("-logits.logsumexp(0)"), "2 numbers are asked for"),
        (ENERGY.format("-logits.softmax(1).sum(1).log()"), "use the logits"),
        (ENERGY.format("-logits.exp().sum(1).log()"), "not finite"),
    ],
    "q4_2": [
        (JOINT.format("logits.gather(1, y[:, None])[:, 0]"), "the sign"),
        (JOINT.format("-logits.log_softmax(1).gather(1, y[:, None])[:, 0]"), "normalised over the classes"),
        (JOINT.format("-logits.amax(1)"), "of the predicted class"),
        (JOINT.format("-logits.gather(1, y[:, None])"), "2 numbers are asked for"),
    ],
    "q4_3": [("unseen = 'A'", "E(x) does"), ("unseen = 'B'", "cancels"), ("unseen = 'D'", "p(y | x) stays")],
    "q4_4": [
        ("push = [0.5, 0.25, 0.25]", "the sign is turned"),
        ("push = [-1, 0, 0]", "hard minimum"),
        ("push = [-0.5, 0.25, 0.25]", "cross-entropy"),
        ("push = [-2, -1, -1]", "divide by their sum"),
    ],
    "q4_5": [
        (
            LOSS.format("negatives.detach()", "F.cross_entropy(logits, y) - e_data.mean() + e_negative.mean()"),
            "forces are exchanged",
        ),
        (LOSS.format("negatives.detach()", "F.cross_entropy(logits, y)"), "says nothing of p(x)"),
        (LOSS.format("negatives.detach()", "e_data.mean() - e_negative.mean()"), "cross-entropy is missing"),
        (LOSS.format("negatives", "F.cross_entropy(logits, y) + e_data.mean() - e_negative.mean()"), "detach them"),
        (
            LOSS.format("negatives", "F.cross_entropy(logits, y) + e_data.mean() - e_negative.mean().detach()"),
            "only their value",
        ),
        (
            LOSS.format("negatives", "(F.cross_entropy(logits, y) + e_data.mean() - e_negative.mean()).item()"),
            "returns a float, expected a tensor",
        ),
        (
            LOSS.format(
                "negatives.detach()", "F.cross_entropy(logits, y, reduction='sum') + e_data.sum() - e_negative.sum()"
            ),
            "means are asked for",
        ),
    ],
    "q4_6": [
        (
            START.format("pass", "torch.where(anew.view(-1, *[1] * (fresh.ndim - 1)), buffer[slots], fresh)"),
            "exchanged",
        ),
        (START.format("pass", "buffer[slots]"), "no chain was started anew"),
        (
            START.format("pass", "torch.where(anew.view(-1, *[1] * (fresh.ndim - 1)), fresh, buffer[: len(slots)])"),
            "row slots[n]",
        ),
        (START.format("buffer[slots[anew]] = fresh[anew]", "buffer[slots]"), "changes its argument number 1"),
        (START.format("pass", "torch.where(anew[:, None], fresh, buffer[slots])"), "stops with RuntimeError"),
    ],
    "q4_7": [
        ("temperature = (0.005, 2**0.5)", "the square is missing"),
        ("temperature = (0.00005, 1.0)", "the 2 is missing"),
        ("temperature = (0.00005, 2.0)", "its square root"),
    ],
    "q4_8": [
        (UPDATE.format(**{**USUAL, "zero": "pass"}), "zero_grad is missing"),
        (UPDATE.format(**{**USUAL, "back": "pass"}), "the buffer did not change"),
        (UPDATE.format(**{**USUAL, "back": "buffer[: len(slots)] = samples"}), "not to the first rows"),
        (UPDATE.format(**{**USUAL, "samples": "starts"}), "langevin_steps is missing"),
        (UPDATE.format(**{**USUAL, "step": "pass"}), "the parameters did not change"),
        (UPDATE.format(**{**USUAL, "anew": "~anew"}), "exchanged"),
        (UPDATE.format(**{**USUAL, "back": "buffer[slots] = starts"}), "not the samples"),
        (UPDATE.format(**{**USUAL, "end": "loss"}), "by .item()"),
    ],
}

RIGHT = {
    "q4_1": [
        "def energy(logits):\n"
        "    top = logits.max(1, keepdim=True).values\n"
        "    return -(top[:, 0] + (logits - top).exp().sum(1).log())\n"
    ],
    "q4_2": ["def joint_energy(logits, y):\n    return -(logits * F.one_hot(y, logits.shape[1])).sum(1)\n"],
    "q4_4": ["push = -torch.tensor([2.0, 1.0, 1.0]) / 4"],
    "q4_5": [
        "def jem_loss(net, x, y, negatives):\n"
        "    joint = -(net(x)[torch.arange(len(y)), y] - net(x).logsumexp(1)).mean()\n"
        "    return joint - net(x).logsumexp(1).mean() + net(negatives.detach()).logsumexp(1).mean()\n"
    ],
    "q4_6": [
        "def start_states(buffer, slots, fresh, anew):\n"
        "    return torch.stack([f if new else buffer[k] for k, f, new in zip(slots, fresh, anew)])\n"
    ],
    "q4_7": ["temperature = (5e-5, 1.414)"],
    "q4_8": [
        "def jem_update(net, optimizer, x, y, buffer, slots, fresh, anew, generator):\n"
        "    samples = langevin_steps(net, start_states(buffer, slots, fresh, anew), generator)\n"
        "    buffer.index_copy_(0, slots, samples)\n"
        "    net.zero_grad()\n"
        "    loss = jem_loss(net, x, y, samples)\n"
        "    loss.backward()\n"
        "    optimizer.step()\n"
        "    return float(loss.detach())\n"
    ],
}
