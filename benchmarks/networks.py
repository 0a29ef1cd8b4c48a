"""Training speed of networks: madlib against PyTorch eager doing the same steps, side by side.

The same network, minibatches, Adam and averaging in both. madlib trains a replicate on every core.
PyTorch is measured as it comes, one replicate on as many threads as it chooses, and at its best: on
every core a process with one thread and a replicate of its own, and all of Adam fused in one call.
Beside them the rate of the products in a step as a share of the rate at which this machine
multiplies matrices of the shape of a layer. A contest is a row of `contests`: a generator, its
training set, and what PyTorch would do.
"""

import importlib.util
import multiprocessing
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from madlib import FullySynthetic, simulate, targets
from madlib.generators import CouplingFlow, Diffusion
from madlib.generators.training import BLOCK

N_REPEATS = 7


class Contest(NamedTuple):
    """One network in both frameworks.

    Attributes:
        name: what is trained.
        generator: madlib's.
        target: what it is trained on, n examples of it.
        n: size of the training set.
        rival: `rival(generator)` is a PyTorch module with a method `loss(rows of the set)`.
        required: steps and replicates per second over PyTorch's; None where it is only compared.
    """

    name: str
    generator: Any
    target: Any
    n: int
    rival: Callable[[Any], Any]
    required: float | None


def contests() -> list[Contest]:
    banana = targets.rosenbrock()
    wide = CouplingFlow(2, hidden=128)
    images = targets.digits("training", labeled=True, replace=False)
    small, large = (Diffusion(64, 10, width=width, common_scale=True) for width in (128, 256))
    n = len(images.params.weight)
    return [
        Contest("flow, 8 couplings, hidden 64", CouplingFlow(2), banana, 10_000, TorchFlow, 4.0),
        Contest("flow, 8 couplings, hidden 128", wide, banana, 10_000, TorchFlow, None),
        Contest(f"diffusion, width {small.width}", small, images, n, TorchDiffusion, 4.0),
        Contest(f"diffusion, width {large.width}", large, images, n, TorchDiffusion, None),
    ]


def run() -> None:
    """Prints a row per contest: medians of repeats in which all take turns."""
    if importlib.util.find_spec("torch") is None:
        print("PyTorch is not installed, so there is nothing to compare with: pip install torch.")
        return
    import torch

    cores = jax.local_device_count()
    print(
        f"PyTorch {torch.__version__} eager, one replicate on {torch.get_num_threads()} threads; "
        f"at best: {cores} processes, fused Adam. madlib: {cores} devices, a replicate on each. "
        f"Medians of {N_REPEATS} repeats."
    )
    print("Steps x replicates per second; matrix products in GFLOP/s.")
    header = ("PyTorch", "its best", "madlib", "ratio", "required", "to best")
    header += ("in steps", "layer", "large")
    print(f"{'network':36}" + "".join(f"{name:>10}" for name in header) + f"{'share':>8}")
    for i in range(len(contests())):
        print(_row(i, cores), flush=True)


def _row(index: int, cores: int) -> str:
    contest = contests()[index]
    generator = contest.generator
    training, width = generator.training, _width(generator)
    n_few = max(1, training.n_steps // 10)  # PyTorch's steps all take the same time.
    ours = _trainer(contest, cores)
    theirs, best = _torch_trainer(contest, n_few), _torch_on_every_core(index, n_few, cores)
    layer = _matmul(cores, training.batch_size, width)
    large = _matmul(cores, 1024, 1024)
    tasks = {
        "torch": (theirs, n_few),
        "best": (best, cores * n_few),
        "madlib": (ours, cores * training.n_steps),
        "layer": (layer, layer.flops / 1e9),
        "large": (large, large.flops / 1e9),
    }
    rates: dict[str, list[float]] = {name: [] for name in tasks}
    for task, _ in tasks.values():
        task()
    for _ in range(N_REPEATS):
        for name, (task, amount) in tasks.items():
            start = time.perf_counter()
            task()
            rates[name].append(amount / (time.perf_counter() - start))
    median = {name: statistics.median(values) for name, values in rates.items()}
    ratio, to_best = (
        statistics.median(np.divide(rates["madlib"], rates[name])) for name in ("torch", "best")
    )
    speed = [madlib * _flops_per_step(generator) / 1e9 for madlib in rates["madlib"]]
    share = statistics.median(np.divide(speed, rates["layer"]))
    required = "" if contest.required is None else f">= {contest.required:g}"
    cells = [
        f"{median['torch']:,.0f}",
        f"{median['best']:,.0f}",
        f"{median['madlib']:,.0f}",
        f"{ratio:.1f}",
        required,
        f"{to_best:.1f}",
        f"{statistics.median(speed):.0f}",
        f"{median['layer']:.0f}",
        f"{median['large']:.0f}",
    ]
    wanted = " (>= 60 %)" if width >= 128 else ""
    return f"{contest.name:36}" + "".join(f"{c:>10}" for c in cells) + f"{share:>8.0%}{wanted}"


def _trainer(contest: Contest, n_replicates: int) -> Callable[[], None]:
    """Generation 1 of a loop, as the book runs it."""

    def train() -> None:
        simulate(
            jax.random.key(0),
            contest.generator,
            FullySynthetic(contest.n),
            contest.target,
            n_ini=contest.n,
            n_generations=1,
            n_replicates=n_replicates,
        )

    return train


def _matmul(cores: int, n: int, width: int) -> Callable[[], None]:
    """Products [n, width] x [width, width], one after the other, on every device at once."""
    n_products = max(1, int(2e10 / (2 * n * width**2)))
    mesh, spec = Mesh(jax.local_devices(), ("cores",)), PartitionSpec("cores")
    weights = jnp.eye(width)[::-1]

    def multiply(x):
        return jax.lax.scan(lambda x, _: (x @ weights, None), x[0], None, length=n_products)[0][
            None
        ]

    program = jax.jit(jax.shard_map(multiply, mesh=mesh, in_specs=spec, out_specs=spec))
    x = jnp.ones((cores, n, width))

    def task() -> None:
        jax.block_until_ready(program(x))

    task.flops = cores * n_products * 2 * n * width**2
    return task


def _layers(generator: Any) -> list[Any]:
    network = eqx.filter_eval_shape(generator.network, jax.random.key(0))
    leaves = jax.tree.leaves(network, is_leaf=lambda node: isinstance(node, eqx.nn.Linear))
    return [leaf for leaf in leaves if isinstance(leaf, eqx.nn.Linear)]


def _flops_per_step(generator: Any) -> float:
    """Of the products of a step: forward, for the weights, and for what a layer is given.

    Each is a multiplication and an addition. What is not `width` numbers is data, or a coordinate:
    the third product is left out there.
    """
    width = _width(generator)
    per_example = sum(
        (6 if layer.in_features == width else 4) * layer.weight.size for layer in _layers(generator)
    )
    return generator.training.batch_size * per_example


def _width(generator: Any) -> int:
    return max(layer.out_features for layer in _layers(generator))


def _torch_trainer(
    contest: Contest, n_steps: int, *, fused: bool | None = None
) -> Callable[[], None]:
    import torch

    generator, training = contest.generator, contest.generator.training
    data = contest.target.draw(jax.random.key(0), contest.n)
    points = torch.tensor(np.array(data.points))
    points = (points - points.mean(0)) / points.std(0).clamp(min=1e-6)
    labels = None if data.label is None else torch.tensor(np.array(data.label)).long()
    torch.manual_seed(0)
    module = contest.rival(generator)
    weights = list(module.parameters())
    average = [weight.detach().clone() for weight in weights]
    optimizer = torch.optim.Adam(weights, lr=training.learning_rate, fused=fused)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, training.n_steps)

    def train() -> None:
        for i in range(n_steps):
            rows = torch.randint(len(points), (training.batch_size,))
            batch = (points[rows],) if labels is None else (points[rows], labels[rows])
            optimizer.zero_grad()
            module.loss(*batch).backward()
            optimizer.step()
            schedule.step()
            if i % BLOCK == 0:
                with torch.no_grad():
                    torch._foreach_lerp_(average, weights, 0.2)

    return train


def _torch_on_every_core(index: int, n_steps: int, cores: int) -> Callable[[], None]:
    """A process with a thread on every core, each with a replicate of its own."""
    context = multiprocessing.get_context("spawn")
    workers = [ProcessPoolExecutor(1, context, _prepare, (index, n_steps)) for _ in range(cores)]

    def train() -> None:
        for done in [worker.submit(_train) for worker in workers]:
            done.result()

    return train


def _prepare(index: int, n_steps: int) -> None:
    """In a process of its own."""
    import torch

    torch.set_num_threads(1)
    _prepare.train = _torch_trainer(contests()[index], n_steps, fused=True)


def _train() -> None:
    _prepare.train()


def TorchFlow(flow: CouplingFlow) -> Any:
    """The same couplings in PyTorch."""
    import torch
    from torch import nn

    from madlib.generators.coupling_flow import MAX_LOG_SCALE

    half = flow.dim // 2

    class Flow(nn.Module):
        def __init__(self):
            super().__init__()
            sizes = [flow.dim - half, flow.hidden, flow.hidden]
            self.couplings = nn.ModuleList(
                nn.Sequential(
                    nn.Linear(sizes[0], sizes[1]),
                    nn.SiLU(),
                    nn.Linear(sizes[1], sizes[2]),
                    nn.SiLU(),
                    nn.Linear(sizes[2], 2 * half),
                )
                for _ in range(flow.n_couplings)
            )

        def loss(self, points):
            total = 0.0
            for coupling in self.couplings:
                kept, moved = points[:, :-half], points[:, -half:]
                shift, raw = coupling(kept).chunk(2, dim=1)
                log_scale = MAX_LOG_SCALE * torch.tanh(raw / MAX_LOG_SCALE)
                total = total + log_scale.sum(1)
                moved = (moved - shift) * torch.exp(-log_scale)
                points = torch.cat([moved, kept], dim=1)
            return (0.5 * (points**2).sum(1) + total).mean()

    return Flow()


def TorchDiffusion(diffusion: Diffusion) -> Any:
    """The same denoiser and loss in PyTorch; the variances of classes are all taken to be 1."""
    import torch
    from torch import nn

    from madlib.generators import diffusion as ours

    n_classes, width = diffusion.n_classes, diffusion.width
    n_conditions = 2 * ours.N_FREQUENCIES + n_classes + 1

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.outer = nn.Linear(width, width), nn.Linear(width, width)
            self.condition = nn.Linear(n_conditions, width, bias=False)

        def forward(self, hidden, condition):
            raised = self.inner(hidden) + self.condition(condition)
            return hidden + self.outer(nn.functional.silu(raised))

    class Denoiser(nn.Module):
        def __init__(self):
            super().__init__()
            self.enter = nn.Linear(diffusion.dim, width)
            self.blocks = nn.ModuleList(Block() for _ in range(diffusion.n_blocks))
            self.leave = nn.Linear(width, diffusion.dim)

        def loss(self, points, labels):
            n = len(points)
            share = (torch.arange(n) + torch.rand(n)) / n
            deviate = torch.special.ndtri(share.clamp(1e-6, 1 - 1e-6))
            level = torch.exp(ours.LOG_SIGMA_MEAN + ours.LOG_SIGMA_STD * deviate)
            label = torch.where(torch.rand(n) < ours.LABEL_DROPOUT, n_classes, labels)
            known = ours.LABEL_SCALE * nn.functional.one_hot(label, n_classes + 1)
            span = np.log(ours.SIGMA_MAX / ours.SIGMA_MIN)
            angle = torch.pi * torch.log(level / ours.SIGMA_MIN) / span
            angle = angle[:, None] * torch.arange(1.0, 1 + ours.N_FREQUENCIES)
            condition = torch.cat([torch.cos(angle), torch.sin(angle), known], dim=1)
            noise = level[:, None] ** 2
            kept = 1 / (1 + noise)
            half = torch.randn((n + 1) // 2, diffusion.dim)
            noisy = points + level[:, None] * torch.cat([half, -half])[:n]
            hidden = self.enter(noisy * torch.sqrt(kept))
            for block in self.blocks:
                hidden = block(hidden, condition)
            learned = self.leave(nn.functional.silu(hidden))
            found = kept * noisy + torch.sqrt(noise * kept) * learned
            size = noise * kept
            return (((found - points) ** 2).mean(1, keepdim=True) / size).mean()

    return Denoiser()
