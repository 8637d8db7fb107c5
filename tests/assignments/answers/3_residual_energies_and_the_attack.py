"""Answers to assignment 3: wrong ones, with words of the reason to be given, and right ones unlike the solution."""

LOSS = "def residual_nce(e_data, e_noise):\n    return {}\n"
NCE = """\
def nce(e_data, e_noise, log_q_data, log_q_noise, nu):
    shift = {} * torch.tensor(float(nu)).log()
    u_data, u_noise = e_data {} log_q_data + shift, e_noise {} log_q_noise + shift
    return softplus(u_data).mean() + {} * softplus(-u_noise).mean()
"""
ESS = "def effective_sample_size(energies):\n    w = {}\n    return {}\n"
SALIENT = """\
def most_salient(energy, embeddings, free):
    e = embeddings.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(energy(e).sum(), e)
    return ({}).masked_fill(~free, {}).{}(dim=1)
"""
SUBSTITUTE = """\
def substitute(energy, x, i, values):
    others = {}
    candidates = x.repeat(len(others), 1)
    candidates[:, {}] = others
    return candidates[{}]
"""

WRONG = {
    "q3_1": [
        (LOSS.format("softplus(-e_data).mean() + softplus(e_noise).mean()"), "signs are exchanged"),
        (LOSS.format("softplus(e_data).sum() + softplus(-e_noise).sum()"), "sums grow"),
        (LOSS.format("softplus(e_data).mean()"), "the noise is missing"),
        (LOSS.format("torch.sigmoid(e_data).mean() + torch.sigmoid(-e_noise).mean()"), "the sigmoid is its derivative"),
        (LOSS.format("e_data.exp().log1p().mean() + (-e_noise).exp().log1p().mean()"), "not finite"),
    ],
    "q3_2": [
        ("at_minimum = (-1.386, 0.2)", "the sign is turned"),
        ("at_minimum = (4.0, 0.2)", "its logarithm"),
        ("at_minimum = 1.386", "a list of 2 is asked for"),
        ("at_minimum = (1.386, 0.8)", "probability of noise"),
        ("at_minimum = (3.912, 0.2)", "log q is not in it"),
    ],
    "q3_3": [
        (NCE.format("0", "+", "+", "nu"), "log nu is missing"),
        (NCE.format("1", "+", "+", "1"), "the weight nu"),
        (NCE.format("1", "-", "-", "nu"), "log q is subtracted"),
        (NCE.format("1", "+ 0 *", "+ 0 *", "nu"), "log q is missing"),
    ],
    "q3_4": [
        (ESS.format("energies.softmax(1)", "1 / w.square().sum(1)"), "exp(+E)"),
        (ESS.format("(-energies).softmax(1)", "w.square().sum(1)"), "this is 1 / ESS"),
        (ESS.format("(-energies).softmax(1)", "1 / w.square().mean(1) / energies.shape[1]**2"), "share that counts"),
        (ESS.format("(-energies).softmax(0)", "1 / w.square().sum(0)"), "3 numbers are asked for"),
        (ESS.format("(-energies).exp()", "w.sum(1) ** 2 / w.square().sum(1)"), "not finite"),
    ],
    "q3_5": [
        (SALIENT.format("gradient.sum(2)", "-1e9", "argmax"), "signed"),
        (SALIENT.format("gradient.norm(dim=2)", "-1", "argmax"), "2-norm"),
        (SALIENT.format("gradient.abs().sum(2)", "1e9", "argmin"), "least salient"),
        (SALIENT.format("gradient.abs().sum(2)", "1e9", "argmax"), "mask it"),
        (SALIENT.format("gradient.abs().amax(2)", "-1", "argmax"), "not right yet"),
        (SALIENT.format("gradient.abs().sum(1)", "-1", "argmax"), "stops with"),
    ],
    "q3_6": [
        (SUBSTITUTE.format("values[values != x[i]]", "i", "energy(candidates).argmax()"), "uphill"),
        (SUBSTITUTE.format("values", "i", "energy(candidates).argmin()"), "something has to change"),
        (SUBSTITUTE.format("values[values != x[i]]", "i + 1", "energy(candidates).argmin()"), "counted from 0"),
        (SUBSTITUTE.format("values[values != x[i]]", "i", "energy(candidates).argmin(), i"), "3 numbers are asked for"),
        (
            SUBSTITUTE.format(
                "values[values != x[i]]", "i", "min(range(len(others)), key=lambda k: energy(candidates[k : k + 1]))"
            ),
            "called once",
        ),
    ],
    "q3_7": [
        ("counts = (200 * 90, 200 * 10, 1)", "9 others at one position"),
        ("counts = (200 * 90, 200 * 9, 200)", "one backward pass"),
        ("counts = (200 * 9**10, 200 * 9, 1)", "every position"),
    ],
}

RIGHT = {
    "q3_1": [
        "from torch.nn.functional import binary_cross_entropy_with_logits as bce\n\n"
        "def residual_nce(e_data, e_noise):\n"
        "    return bce(-e_data, torch.ones_like(e_data)) + bce(-e_noise, torch.zeros_like(e_noise))\n"
    ],
    "q3_2": ["at_minimum = (1.39, 0.2)"],
    "q3_3": [
        "import math\n\n"
        "def nce(e_data, e_noise, log_q_data, log_q_noise, nu):\n"
        "    right = torch.sigmoid(-(e_data + log_q_data + math.log(nu))).log().mean()\n"
        "    wrong = torch.sigmoid(e_noise + log_q_noise + math.log(nu)).log().mean()\n"
        "    return -right - nu * wrong\n",
        "import math\n\n"
        "def nce(e_data, e_noise, log_q_data, log_q_noise, nu):\n"
        "    noise = softplus(-e_noise - log_q_noise - math.log(nu))  # nu rows for each row of data\n"
        "    return softplus(e_data + log_q_data + math.log(nu)).mean() + noise.sum() / len(e_data)\n",
    ],
    "q3_4": [
        "def effective_sample_size(energies):\n"
        "    return (2 * (-energies).logsumexp(1) - (-2 * energies).logsumexp(1)).exp()\n"
    ],
    "q3_5": [
        "def most_salient(energy, embeddings, free):\n"
        "    e = embeddings.clone().detach().requires_grad_()\n"
        "    energy(e).sum().backward()\n"
        "    return (e.grad.norm(p=1, dim=2) * free - 1.0 * ~free).argmax(1)\n",
        "def most_salient(energy, embeddings, free):\n"
        "    found = []\n"
        "    for row in embeddings:  # rows do not mix\n"
        "        e = row[None].clone().requires_grad_()\n"
        "        (gradient,) = torch.autograd.grad(energy(e).sum(), e)\n"
        "        found.append(int(gradient[0].abs().sum(1).masked_fill(~free, -1).argmax()))\n"
        "    return found\n",
    ],
    "q3_6": [
        "def substitute(energy, x, i, values):\n"
        "    rows = x[None].repeat(len(values), 1)\n"
        "    rows[:, i] = values\n"
        "    e = energy(rows).masked_fill(values == x[i], float('inf'))\n"
        "    return rows[e.argmin()].tolist()\n"
    ],
    "q3_7": ["counts = [18000.0, 1800, 1]"],
}
