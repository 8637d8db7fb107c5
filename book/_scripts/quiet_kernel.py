"""Run by a kernel whose outputs are stored or compared (PYTHONSTARTUP): no progress bars, and no names left behind.

Bars print times, which no stored output can equal. TQDM_DISABLE silences bars of text, and no bars of widgets.
"""

import tqdm.auto

tqdm.auto.tqdm = tqdm.std.tqdm
del tqdm
