"""Where the course runs: device, processes, random streams, and the settings read from the environment.

The only module that reads environment variables (``EBM_COURSE_DATA``, ``EBM_COURSE_DEVICE``, those of :data:`SIZES`),
or sets a global seed or the number of threads. It knows no task and no algorithm.

>>> from unittest.mock import patch
>>> run = setup(3, device="cpu", quiet=True)
>>> run.device == device_of("cpu"), run.is_main, describe(run.device).startswith("cpu, ")
(True, True, True)
>>> Run(run.device, run.seed, rank=1, n_processes=2).share(torch.arange(4)).tolist()  # the second of two processes
[2, 3]
>>> with patch.dict(os.environ, {"WORLD_SIZE": "2", "EBM_COURSE_DATA": "."}):
...     launched_size(), str(data_folder())
('WORLD_SIZE=2', '.')
"""

from __future__ import annotations

import atexit
import hashlib
import os
import platform
import sys
import threading
import warnings
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from ebm_course.checks import check_count
from ebm_course.core import Batch
from ebm_course.idle_threads import let_idle_threads_sleep
from ebm_course.processors import usable_processors

Rows = TypeVar("Rows", Tensor, Batch)

PUBLIC_ADDRESS = ""
"""Where the course is published: the one setting that turns launch buttons and installation in Colab on."""


def torch_seed(seed: int) -> int:
    """The seed itself below 2^32, else 32 bits of its digest: more than these torch's CPU generator does not read.

    >>> torch_seed(7), torch_seed(7 + 2**32) == 7, torch_seed(2**100) < 2**32
    (7, False, True)
    """
    seed = check_count("seed", seed)
    return seed if seed < 2**32 else int.from_bytes(hashlib.sha256(str(seed).encode()).digest()[:4])


@dataclass(frozen=True)
class Run:
    """A device, a seed from which every random stream is named, and this process's place among those of the run.

    Every process holds the same weights and draws the same numbers; each works on its own share of the rows. In one
    process :meth:`share` to :meth:`wait` do nothing; in several, all processes have to call them in the same order.
    """

    device: torch.device
    seed: int
    rank: int = 0
    n_processes: int = 1

    def generator(self, name: str) -> torch.Generator:
        """A fresh stream of its own: the same seed and name give the same draws, other names independent ones."""
        mixed = (torch_seed(self.seed) * 0x9E3779B97F4A7C15 + zlib.crc32(name.encode())) % 2**63
        return torch.Generator(device=self.device).manual_seed(mixed)

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that prints, shows progress and writes files."""
        return self.rank == 0

    def share(self, x: Rows, dim: int = 0) -> Rows:
        """This process's rows of x, which every process holds whole: block ``rank`` of ``n_processes`` along ``dim``.

        Raises:
            ValueError: the rows do not divide evenly: a mean of means would then weigh rows differently.
        """
        if self.n_processes == 1:
            return x
        n = len(x) if isinstance(x, Batch) else x.shape[dim]
        if n % self.n_processes:
            raise ValueError(
                f"{self.n_processes} processes take equal shares: got {n} rows. Make the batch size and every number "
                f"of samples a multiple of {self.n_processes}, or launch another number of processes."
            )
        first, size = self.rank * (n // self.n_processes), n // self.n_processes
        return x[first : first + size] if isinstance(x, Batch) else x.narrow(dim, first, size)

    def gather(self, x: Tensor, dim: int = 0) -> Tensor:
        """The whole again on every process, from shares of one shape, in the order of the processes; no gradient."""
        if self.n_processes == 1:
            return x
        from accelerate.utils import gather

        whole: Tensor = gather(x.detach().movedim(dim, 0).contiguous())
        return whole.movedim(0, dim)

    def mean(self, x: Tensor) -> Tensor:
        """The mean over processes of a real tensor of any shape, the same bits on every process; no gradient."""
        if self.n_processes == 1:
            return x
        from accelerate.utils import reduce

        mean: Tensor = reduce(x.detach(), reduction="mean")
        return mean

    def average_gradients(self, module: nn.Module) -> None:
        """Replace the gradients of ``module`` by their means over processes, in one message; changes ``.grad``."""
        self._average([p.grad for p in module.parameters() if p.grad is not None])

    def average_buffers(self, module: nn.Module) -> None:
        """The same of real-valued buffers, such as batch norm's running statistics: each process saw its own rows."""
        self._average([b for b in module.buffers() if b.is_floating_point()])

    def _average(self, own: list[Tensor]) -> None:
        if self.n_processes > 1 and own:
            means = self.mean(torch.cat([x.flatten() for x in own]))
            for x, mean in zip(own, means.split([x.numel() for x in own]), strict=True):
                x.copy_(mean.view_as(x))

    def wait(self) -> None:
        """Return when all processes are here: what the main process wrote before is then there for all."""
        if self.n_processes == 1:
            return
        from accelerate.utils import wait_for_everyone

        wait_for_everyone()


SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
"""Where launchers say how many processes they started: torchrun and accelerate, and three kinds of MPI."""
PATIENCE = 20.0  # seconds of waiting for other processes, then a hint is printed
SINGLE_PROCESS = Run(torch.device("cpu"), 0)
"""The default of functions that ask a run for its processes only: a single one, on the CPU."""


def setup(seed: int = 0, *, device: str | torch.device | None = None, quiet: bool = False) -> Run:
    """Choose a device, join the other processes if there are any, seed initialisation and dropout, print versions.

    Torch gets no more CPU threads than can run at once, unless ``OMP_NUM_THREADS`` says how many; idle ones sleep.

    Args:
        seed: any integer, 0 or larger, however large; the same on every process.
        device: a torch device; by default ``EBM_COURSE_DEVICE``, else a GPU if there is one, else the CPU. Of several
            processes each gets a GPU of its own.
        quiet: print nothing.

    Returns:
        The run's random streams and processes. Under ``accelerate launch --num_processes N`` there are N.

    Raises:
        ValueError: the seed is negative or no integer.
        RuntimeError: the device asked for is not there, several processes were launched without accelerate, or what
            launchers leave in the environment is no number or not all there.
    """
    seed = check_count("seed", seed)
    run = Run(device_of(device), seed)
    if not os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(min(torch.get_num_threads(), usable_processors()))
    let_idle_threads_sleep()
    if launched_size():
        run = _join(run)
    elif "MASTER_ADDR" in os.environ and "ACCELERATE_USE_CPU" in os.environ:
        warnings.warn(
            "accelerate launch --cpu was asked for several processes and started one. This run is single-process, with "
            "the same numbers. For two: EBM_COURSE_DEVICE=cpu accelerate launch --multi_gpu --num_processes 2 ... "
            "Or with MPI: accelerate launch --cpu --num_processes 2 --mpirun_hostfile hosts ...",
            RuntimeWarning,
            stacklevel=2,
        )
    torch.manual_seed(torch_seed(seed))
    if not quiet and run.is_main:
        many = f" · {run.n_processes} processes" if run.n_processes > 1 else ""
        versions = f"python {platform.python_version()} · torch {torch.__version__}"
        print(f"{versions} · {describe(run.device)}{many} · seed {seed}")
    return run


def device_of(name: str | torch.device | None = None) -> torch.device:
    """The device of this name, by default as :func:`setup` chooses; refused where torch cannot put a tensor there."""
    name = str(name or os.environ.get("EBM_COURSE_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu"))
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise RuntimeError(f"device {name!r} was asked for and torch sees no GPU: use device='cpu'.")
    if name.startswith("meta"):
        raise RuntimeError(f"device {name!r} was asked for and torch keeps no numbers there: use device='cpu'.")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as error:  # by what torch was built with
        raise RuntimeError(f"device {name!r} was asked for and torch has none: use device='cpu'.") from error
    return device


def launched_size() -> str:
    """What a launcher of several processes has set, as ``WORLD_SIZE=2``; empty of one. What is no number is refused."""
    for name in SIZES:
        value = os.environ.get(name, "").strip() or "1"
        if not value.isdecimal() or int(value) < 1:
            raise RuntimeError(f"{name}={value} is no number of processes: expected 1 or more. Unset {name}.")
        if int(value) > 1:
            return f"{name}={value}"
    return ""


def _join(run: Run) -> Run:
    """The run as one of the processes that were launched together."""
    try:
        from accelerate import PartialState
    except ImportError as error:
        raise RuntimeError(
            "several processes were launched, and accelerate, which lets them talk, is not installed: "
            "pip install 'ebm-course[scale]'."
        ) from error
    on_cpu, left_over = run.device.type == "cpu", f"if nobody started any, {launched_size()} is left over: unset it."
    hint = threading.Timer(PATIENCE, print, [f"waiting for the other processes; {left_over}"], {"file": sys.stderr})
    hint.daemon = True
    hint.start()
    try:
        state = PartialState(cpu=on_cpu)
    except (ValueError, KeyError, RuntimeError) as error:
        raise RuntimeError(f"several processes could not meet ({error}): start them together; {left_over}") from error
    finally:
        hint.cancel()
    atexit.register(state.destroy_process_group)
    device = run.device if on_cpu else state.device
    return replace(run, device=device, rank=state.process_index, n_processes=state.num_processes)


def describe(device: torch.device) -> str:
    """One line on a device: a GPU's name, or the number of CPU threads torch uses."""
    if device.type == "cuda":
        return f"GPU {torch.cuda.get_device_name(device)}"
    return f"{device.type}, {torch.get_num_threads()} threads"


def data_folder() -> Path | None:
    """The folder of data sets that ``EBM_COURSE_DATA`` names, or None; a FileNotFoundError where it is no folder."""
    if not (value := os.environ.get("EBM_COURSE_DATA")):
        return None
    folder = Path(os.path.expanduser(value))  # of no such user: as it is
    if not folder.is_dir():
        raise FileNotFoundError(f"EBM_COURSE_DATA names {value!r}, which is no folder: set it to one, or unset it.")
    return folder
