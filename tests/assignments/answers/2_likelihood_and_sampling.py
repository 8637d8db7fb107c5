"""Answers to assignment 2: wrong ones, with words of the reason to be given, and right ones unlike the solution."""

GRADIENT = """\
def likelihood_gradient(theta, features, p_data):
    p_model = torch.softmax(features @ theta, dim=0)
    return {}
"""
LOSS = "def contrastive_loss(energy, x_data, x_negative):\n    return {}\n"
CONDITIONAL = """\
def conditional(energy, x, i, n_values):
    rows = x[:, None].repeat(1, n_values, 1)
    rows[:, :, {}] = torch.arange(n_values)
    return ({} * energy(rows.flatten(0, 1)).view(len(x), n_values)).softmax({})
"""
LANGEVIN = """\
def langevin(energy, x, step_size, n_steps, generator):
    for _ in range({steps}):
        x = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(energy(x).sum(), x)
        x = x {sign} step_size * slope + {sigma} * torch.randn(x.shape, generator=generator)
    return {end}
"""
USUAL = {"steps": "n_steps", "sign": "-", "sigma": "(2 * step_size) ** 0.5", "end": "x.detach()"}
SEQUENCE = """\
def sequence_energy(logits, x):
    log_q = logits[:, :-1].log_softmax(-1).gather(2, x[:, 1:, None])[..., 0]
    return {}
"""

WRONG = {
    "q2_1": [
        (GRADIENT.format("(p_model - p_data) @ features"), "the sign"),
        (GRADIENT.format("p_data @ features"), "force on the negatives is missing"),
        (GRADIENT.format("(p_data - torch.softmax(-features @ theta, 0)) @ features"), "this is exp(E)"),
        (GRADIENT.format("(p_data - 1 / len(p_data)) @ features"), "all states alike"),
        (GRADIENT.format("((p_data - p_model)[:, None] * features).mean(0)"), "a mean over the states"),
    ],
    "q2_2": [("line = 'A'", "still a sum"), ("line = 'C'", "still runs over"), ("line = 'D'", "depends on theta")],
    "q2_3": [
        (LOSS.format("energy(x_negative.detach()).mean() - energy(x_data).mean()"), "the sign"),
        (LOSS.format("energy(x_data).sum() - energy(x_negative.detach()).sum()"), "sums grow"),
        (LOSS.format("energy(x_data).mean() + energy(x_negative.detach()).mean()"), "the negatives go up"),
        (LOSS.format("energy(x_data).mean() - energy(x_negative).mean()"), "detach them"),
        (LOSS.format("energy(x_data).mean() - energy(x_negative).mean().detach()"), "only their value was detached"),
        (
            LOSS.format("(energy(x_data).mean() - energy(x_negative).mean()).item()"),
            "returns a float, expected a tensor",
        ),
    ],
    "q2_4": [
        (CONDITIONAL.format("i", "+1", "1"), "softmax of +E"),
        (CONDITIONAL.format("i", "-1", "0"), "wrong axis"),
        (CONDITIONAL.format("(i + 1) % x.shape[1]", "-1", "1"), "positions are counted from 0"),
        (CONDITIONAL.format("i - 1", "-1", "1"), "not right yet"),
    ],
    "q2_5": [
        (LANGEVIN.format(**{**USUAL, "sign": "+"}), "uphill"),
        (LANGEVIN.format(**{**USUAL, "sigma": "2 * step_size"}), "not right yet"),
        (LANGEVIN.format(**{**USUAL, "sigma": "step_size ** 0.5"}), "sigma is the square root of 2 eps"),
        (LANGEVIN.format(**{**USUAL, "sigma": "0"}), "this is descent"),
        (LANGEVIN.format(**{**USUAL, "end": "x"}), "detach"),
        (LANGEVIN.format(**{**USUAL, "end": "(x.detach(), 1)"}), "not right yet"),
        (LANGEVIN.format(**{**USUAL, "steps": "max(1, n_steps - 1)"}), "one step too few"),
    ],
    "q2_6": [
        ("rest = (1.0, 2.0)", "wider"),
        ("rest = (1.25, 2.0)", "solve for v"),
        ("rest = (4 / 3, 1.0)", "up to eps = 2"),
        ("rest = (2.0, 1.0)", "one half is missing"),
    ],
    "q2_7": [
        (
            "def sequence_energy(logits, x):\n"
            "    return -logits.log_softmax(-1).gather(2, x[..., None])[..., 0].sum(1)\n",
            "yours score the token at i",
        ),
        (SEQUENCE.format("-log_q.mean(1)"), "the mean over the tokens"),
        (SEQUENCE.format("log_q.sum(1)"), "this is log q"),
        (SEQUENCE.format("-logits[:, :-1].gather(2, x[:, 1:, None])[..., 0].sum(1)"), "by log_softmax"),
        (SEQUENCE.format("-logits[:, :-1].log_softmax(1).gather(2, x[:, 1:, None])[..., 0].sum(1)"), "over positions"),
    ],
    "q2_8": [
        ("second_force = 'A'", "no row"),
        ("second_force = 'C'", "exactly zero"),
        ("second_force = 'D'", "trained or not"),
    ],
}

RIGHT = {
    "q2_1": [
        "def likelihood_gradient(theta, features, p_data):\n"
        "    theta = theta.clone().requires_grad_()\n"
        "    score = features @ theta\n"
        "    value = p_data @ score - score.logsumexp(0)\n"
        "    return torch.autograd.grad(value, theta)[0]\n"
    ],
    "q2_3": [
        "def contrastive_loss(energy, x_data, x_negative):\n"
        "    x_negative = x_negative.clone().detach()\n"
        "    return -(energy(x_negative).mean() - energy(x_data).mean())\n"
    ],
    "q2_4": [
        "def conditional(energy, x, i, n_values):\n"
        "    out = []\n"
        "    for value in range(n_values):\n"
        "        changed = x.clone()\n"
        "        changed[:, i] = value\n"
        "        out.append(-energy(changed))\n"
        "    weights = torch.stack(out, 1).double().exp()\n"
        "    return weights / weights.sum(1, keepdim=True)\n"
    ],
    "q2_5": [
        "import math\n\n"
        "def langevin(energy, x, step_size, n_steps, generator):\n"
        "    x = x.clone().detach()\n"
        "    for _ in range(n_steps):\n"
        "        x.requires_grad_(True)\n"
        "        energy(x).sum().backward()\n"
        "        noise = torch.randn(x.shape, generator=generator)\n"
        "        x = (x - step_size * x.grad + math.sqrt(2 * step_size) * noise).detach()\n"
        "    return x\n",
        LANGEVIN.format(**{**USUAL, "end": "x.detach().numpy()"}),
    ],
    "q2_6": ["rest = (1.333, 2)"],
    "q2_7": [
        "def sequence_energy(logits, x):\n"
        "    flat = logits[:, :-1].flatten(0, 1), x[:, 1:].flatten()\n"
        "    return torch.nn.functional.cross_entropy(*flat, reduction='none').view(len(x), -1).sum(1)\n"
    ],
}
