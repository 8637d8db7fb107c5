"""Answers to assignment 5: wrong ones, with words of the reason to be given, and right ones unlike the solution."""

START = (
    "def noise_start(u, mask, size):\n    real, length = mask[..., None], mask.sum(1).view(-1, 1, 1)\n    return {}\n"
)
ASCEND = """\
def ascend(delta, gradient, mask, step_size, radius):
    g = {}
    delta = delta {} step_size * g / {}
    return {}
"""
OF_SENTENCE = "g.flatten(1).norm(dim=1).view(-1, 1, 1)"
SHORT = "delta * (radius / delta.flatten(1).norm(dim=1).view(-1, 1, 1)).clamp_max(1)"
MIXED = """\
def mixed(bank, rows, features, momentum):
    new = {}
    new[{}] = {}
    return new
"""
MIXTURE = "F.normalize(momentum * bank[rows] + (1 - momentum) * F.normalize(features, dim=1), dim=1)"
CONTRAST = """\
def contrast(anchors, positives, bank, allowed, temperature):
    own = (anchors * positives).sum(1) / {t}
    others = (anchors @ bank.T / {t}).masked_fill({mask}, -torch.inf)
    return {value}
"""
VALUE = "(torch.cat([own[:, None], others], 1).logsumexp(1) - own).mean()"

WRONG = {
    "q5_1": [
        (START.format("size * u / (length * u.shape[2]) ** 0.5"), "pads are perturbed"),
        (START.format("size * u * real / (u.shape[1] * u.shape[2]) ** 0.5"), "not all L"),
        (START.format("size * u * real / length ** 0.5"), "D is missing"),
        (START.format("size * u * real / (length * u.shape[2])"), "the root is missing"),
        (START.format("size * u * real / (mask.sum() * u.shape[2]) ** 0.5"), "its own l"),
    ],
    "q5_2": [
        (ASCEND.format("gradient * mask[..., None]", "-", OF_SENTENCE, f"{SHORT} if radius else delta"), "goes down"),
        (
            ASCEND.format("gradient * mask[..., None]", "+", "g.norm(dim=2, keepdim=True).clamp_min(1e-9)", "delta"),
            "one a token",
        ),
        (ASCEND.format("gradient", "+", OF_SENTENCE, f"{SHORT} if radius else delta"), "pads move"),
        (ASCEND.format("gradient * mask[..., None]", "+", OF_SENTENCE, SHORT), "no limit"),
        (
            ASCEND.format("gradient * mask[..., None]", "+", "g.norm()", f"{SHORT} if radius else delta"),
            "for the batch",
        ),
        (
            ASCEND.format(
                "gradient * mask[..., None]", "+", OF_SENTENCE, "delta.clamp(-radius, radius) if radius else delta"
            ),
            "entries were clamped",
        ),
        (ASCEND.format("gradient * mask[..., None]", "+", OF_SENTENCE, "delta"), "nothing is projected"),
    ],
    "q5_3": [
        ("passes = (3, 3, 0.6 / 3**0.5)", "after the last pass"),
        ("passes = (5, 2, 0.6 / 3**0.5)", "no pass more"),
        ("passes = (3, 2, 0.6)", "1/3, not 1"),
        ("passes = (3, 2, 0.12)", "the square of the length"),
    ],
    "q5_4": [
        (MIXED.format("bank.clone()", "rows", MIXTURE.replace("momentum", "(1 - momentum)")), "shares are exchanged"),
        (
            MIXED.format(
                "bank.clone()", "rows", "F.normalize(momentum * bank[rows] + (1 - momentum) * features, dim=1)"
            ),
            "before it is mixed",
        ),
        (
            MIXED.format(
                "bank.clone()", "rows", "momentum * bank[rows] + (1 - momentum) * F.normalize(features, dim=1)"
            ),
            "norm 1 again",
        ),
        (MIXED.format("bank", "rows", MIXTURE), "changes its argument number 1"),
        (MIXED.format("bank.clone()", "range(len(rows))", MIXTURE), "not right"),
        (MIXED.format("bank.clone()", "rows", "F.normalize(features, dim=1)"), "the old row is forgotten"),
    ],
    "q5_5": [
        (CONTRAST.format(t="temperature", mask="~allowed", value="(others.logsumexp(1) - own).mean()"), "denominator"),
        (CONTRAST.format(t="temperature", mask="~allowed & allowed", value=VALUE), "not allowed"),
        (CONTRAST.format(t="1.0", mask="~allowed", value=VALUE), "temperature is missing"),
        (
            CONTRAST.format(t="temperature", mask="~allowed", value=VALUE.replace("mean", "sum")),
            "a sum over the anchors",
        ),
        (CONTRAST.format(t="temperature", mask="~allowed", value="-" + VALUE), "the sign is turned"),
        (
            CONTRAST.format(
                t="temperature", mask="~allowed", value="((own.exp() + others.exp().sum(1)).log() - own).mean()"
            ),
            "not finite",
        ),
        (CONTRAST.format(t="temperature", mask="~allowed", value=f"{VALUE}.detach()"), "no gradient"),
        (CONTRAST.format(t="temperature", mask="~allowed", value=f"{VALUE}.item()"), "returns a float"),
    ],
    "q5_6": [
        ("collapse = 'A'", "sharpens"),
        ("collapse = 'C'", "the value of the loss"),
        ("collapse = 'D'", "between now and then"),
    ],
}

RIGHT = {
    "q5_1": [
        "import math\n\n"
        "def noise_start(u, mask, size):\n"
        "    out = torch.zeros_like(u)\n"
        "    for n, l in enumerate(mask.sum(1).tolist()):\n"
        "        out[n, mask[n]] = size / math.sqrt(l * u.shape[2]) * u[n, mask[n]]\n"
        "    return out\n"
    ],
    "q5_2": [
        "def ascend(delta, gradient, mask, step_size, radius):\n"
        "    rows = []\n"
        "    for d, g, m in zip(delta, gradient, mask):\n"
        "        g = torch.where(m[:, None], g, torch.zeros(()))\n"
        "        d = d + step_size * g / torch.linalg.vector_norm(g)\n"
        "        if radius and torch.linalg.vector_norm(d) > radius:\n"
        "            d = radius * d / torch.linalg.vector_norm(d)\n"
        "        rows.append(d)\n"
        "    return torch.stack(rows)\n"
    ],
    "q5_3": ["passes = (3, 2, 0.346)"],
    "q5_4": [
        "def mixed(bank, rows, features, momentum):\n"
        "    new = bank.tolist()\n"
        "    for i, f in zip(rows.tolist(), features):\n"
        "        b = momentum * bank[i] + (1 - momentum) * f / f.norm()\n"
        "        new[i] = (b / b.norm()).tolist()\n"
        "    return torch.tensor(new)\n"
    ],
    "q5_5": [
        "def contrast(anchors, positives, bank, allowed, temperature):\n"
        "    own = (anchors * positives).sum(1, keepdim=True)\n"
        "    others = torch.where(allowed, anchors @ bank.T, torch.tensor(-float('inf')))\n"
        "    logits = torch.cat([own, others], 1) / temperature\n"
        "    return F.cross_entropy(logits, torch.zeros(len(own), dtype=torch.int64))\n"
    ],
}
