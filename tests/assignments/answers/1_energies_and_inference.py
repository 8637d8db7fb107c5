"""Answers to assignment 1: wrong ones, with words of the reason to be given, and right ones unlike the solution."""

NLL = "def nll(p, t):\n    return {}\n"
INFER = "def infer(table, x):\n    return {}\n"
MARGIN = """\
def margin_loss(energies, gold, margin):
    right = energies.gather(1, gold[:, None])[:, 0]
    wrong = energies.scatter(1, gold[:, None], torch.inf)
    return {}
"""
STEP = "def exponentiated_step(mu, gradient, step_size):\n    return {}\n"
COST = """\
def tag_cost(tags, gold):
    return {}(0.0 if t == g else {} if group_of[t] == group_of[g] else {} for t, g in zip(tags, gold))
"""
AUGMENTED = "def augmented(energies, cost):\n    return {}\n"
KMEANS = "def kmeans_energy(y, w):\n    squares = (y[:, :, None] - w) ** 2\n    return {}\n"

WRONG = {
    "q1_1": [
        (NLL.format("-p.gather(1, t[:, None]).sum()"), "without the logarithm"),
        (NLL.format("-p.gather(1, t[:, None]).log().mean()"), "the mean over positions"),
        (NLL.format("p.gather(1, t[:, None]).log().sum()"), "the sign"),
        (NLL.format("-p.gather(1, t[:, None]).sum().log()"), "to their sum"),
    ],
    "q1_2": [("leak = 'A'", "is normalised"), ("leak = 'C'", "parameters"), ("leak = 'D'", "distribution of words")],
    "q1_4": [
        (INFER.format("table[x].argmax(1)"), "worst tagging"),
        (INFER.format("table.argmin(0)[x]"), "wrong axis"),
        (INFER.format("table[x].min(1).values"), "these are energies"),
        (INFER.format("table.argmin(1)[: len(x)]"), "their order is not"),
    ],
    "q1_5": [
        ("sizes = (50_000**15 * 20, 20**15, 5620)", "both to the power 15"),
        ("sizes = (10**90, 15 * 20, 5620)", "a power and not a product"),
        ("sizes = (10**90, 20**15, 15 * 20**2)", "the first position"),
    ],
    "q1_6": [
        (MARGIN.format("(margin + right - energies.min(1).values).relu()"), "y+ itself"),
        (MARGIN.format("(margin - right + wrong.min(1).values).relu()"), "the sign of the gap"),
        (MARGIN.format("margin + right - wrong.min(1).values"), "max(0, u) is missing"),
        (MARGIN.format("(margin + right - wrong.min(1).values).relu().mean()"), "2 numbers are asked for"),
        (MARGIN.format("(margin + right - wrong.min(1).values).relu().detach()"), "no gradient goes through"),
        (MARGIN.format("(margin + right - wrong.min(1).values).relu().tolist()"), "returns a list, expected a tensor"),
        (MARGIN.format("(margin + right - wrong.min(0).values[: len(right)]).relu()"), "not right yet"),
        (
            "def margin_loss(energies, gold, margin):\n"
            "    right = energies.gather(1, gold[:, None])[:, 0]\n"
            "    energies.scatter_(1, gold[:, None], torch.inf)\n"
            "    return (margin + right - energies.min(1).values).relu()\n",
            "changes its argument number 1",
        ),
    ],
    "q1_7": [
        ("offending = 'A'", "soft minimum"),
        ("offending = 'B'", "sum over all"),
        ("offending = 'D'", "may be y+"),
    ],
    "q1_8": [
        ("losses = [0, 1, 1.5, 2, 3]", "sign of the gap"),
        ("losses = [1, 0, 0, 0, 0]", "at the margin"),
        ("losses = [2, 1, 0.5, 0, -1]", "never negative"),
        ("losses = 'all of them'", "a list of 5 is asked for"),
    ],
    "q1_9": [
        (STEP.format("(mu.log() + step_size * gradient).softmax(-1)"), "uphill"),
        (STEP.format("mu - step_size * gradient"), "plain step"),
        (STEP.format("(-step_size * gradient).softmax(-1)"), "old weights"),
        (STEP.format("(mu.log() - step_size * gradient).softmax(1)"), "another one was normalised"),
        (STEP.format("(mu.log() - gradient).softmax(-1)"), "step size is missing"),
        (
            "def exponentiated_step(mu, gradient, step_size):\n"
            "    new = mu * torch.exp(-step_size * gradient)\n"
            "    return new / new.sum(-1, keepdim=True)\n",
            "not finite",
        ),
    ],
    "q1_10": [
        (COST.format("sum", 1.0, 1.0), "costs half"),
        (COST.format("sum", 1.0, 0.5), "exchanged"),
        (
            "def tag_cost(a, b):\n    return sum(1 - 0.5 * (group_of[t] == group_of[g]) for t, g in zip(a, b))\n",
            "costs nothing",
        ),
        ("import statistics\n" + COST.format("statistics.mean", 0.5, 1.0), "a sum is asked for"),
    ],
    "q1_11": [
        (AUGMENTED.format("(energies + cost).argmin(1)"), "the cost is added"),
        (AUGMENTED.format("energies.argmin(1)"), "without the cost"),
        (AUGMENTED.format("(energies - cost).argmax(1)"), "maximises"),
        (AUGMENTED.format("cost.argmax(1)"), "costs most"),
        (AUGMENTED.format("(energies - cost).argmin(0)"), "not right"),
    ],
    "q1_12": [
        ("families = ['A', 'C', 'B']", "pushes nothing up"),
        ("families = ['B', 'B', 'A']", "a code of enough numbers"),
        ("families = ['B', 'C', 'C']", "nothing is penalised"),
    ],
    "q1_13": [
        (KMEANS.format("squares.sum(1).min(1).values.sqrt()"), "its square"),
        (KMEANS.format("squares.sum(1).argmin(1)"), "which centre"),
        (KMEANS.format("squares.mean(1).min(1).values"), "over coordinates"),
        (KMEANS.format("squares.sum(1).max(1).values"), "farthest"),
        (KMEANS.format("(y - y @ torch.linalg.pinv(w).T @ w.T).square().sum(1)"), "not right"),
        (KMEANS.format("squares.min(2).values.sum(1)"), "its own centre"),
    ],
    "q1_14": [
        ("free_code = (25.0, 16.0)", "every y is reached"),
        ("free_code = (0.0, 4.0)", "squared"),
        ("free_code = (0.0, 0.0)", "with rank 1"),
        ("free_code = (0.0, 9.0)", "the second coordinate remains"),
    ],
}

RIGHT = {
    "q1_1": ["def nll(p, t):\n    return torch.nn.functional.nll_loss(p.log(), t, reduction='sum').item()\n"],
    "q1_2": ["leak = ' b'"],
    "q1_4": ["def infer(table, x):\n    return [int(table[k].argmin()) for k in x]\n"],
    "q1_5": ["sizes = (1e90, 20.0**15, 5620.0)"],
    "q1_6": [
        "def margin_loss(energies, gold, margin):\n"
        "    losses = []\n"
        "    for e, k in zip(energies, gold.tolist()):\n"
        "        wrong = torch.cat([e[:k], e[k + 1 :]]).min()\n"
        "        losses.append(torch.clamp(margin + e[k] - wrong, min=0))\n"
        "    return torch.stack(losses)\n"
    ],
    "q1_8": ["losses = torch.tensor([2, 1, 0.5, 0, 0])", "losses = (2, 1, 1 / 2, 0, 0)"],
    "q1_9": [
        "def exponentiated_step(mu, gradient, step_size):\n"
        "    steps = step_size * gradient\n"
        "    new = mu * torch.exp(steps.min(-1, keepdim=True).values - steps)\n"
        "    return new / new.sum(-1, keepdim=True)\n"
    ],
    "q1_12": ["families = 'BCA'"],
    "q1_13": ["def kmeans_energy(y, w):\n    return torch.cdist(y, w.T).min(1).values ** 2\n"],
    "q1_14": ["free_code = [0, 16]"],
}
