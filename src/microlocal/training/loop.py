"""The training loop: AdamW, a running mean of the weights, warm-up and cosine, mixed precision, checkpoints, a log.

Reference: decoupled weight decay as in Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019.
"""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from microlocal.core.errors import DivergenceError, InputError
from microlocal.core.interruption import stopping
from microlocal.core.progress import SILENT, Progress
from microlocal.io.tensors import write_tensors
from microlocal.networks.weights import BEGAN, fill, load_weights, save_weights, training_of
from microlocal.training.batches import Feed
from microlocal.training.distributed import Team, joined
from microlocal.training.log import Log, Row
from microlocal.training.picture import draw_training
from microlocal.training.pool import Pool, fill_pool
from microlocal.training.recipe import Recipe
from microlocal.training.schedule import learning_rate, precision_of
from microlocal.training.seeds import mixed
from microlocal.training.state import State
from microlocal.training.task import Batch, Task

CHECKPOINT, WEIGHTS, BAD_BATCH = "checkpoint.safetensors", "weights.safetensors", "nan_batch.safetensors"
Watch = Callable[[Row], None]


@dataclass(frozen=True)
class Trained:
    """What became of a training: ``weights`` file, ``step`` reached, ``metrics`` of the last validation, seconds,
    and ``resumed_from``, the step of the checkpoint that it went on from, 0 where it began anew.
    """

    weights: Path
    step: int
    steps: int
    seconds: float
    metrics: dict[str, float]
    device: str
    parameters: int
    files: tuple[Path, ...] = ()
    resumed_from: int = 0

    @property
    def complete(self) -> bool:
        """Whether all steps were done; otherwise it was stopped and can be resumed."""
        return self.step >= self.steps


def train(
    recipe: Recipe,
    *,
    resume: bool = False,
    fresh: bool = False,
    device: str = "auto",
    progress: Progress = SILENT,
    watch: Watch | None = None,
    command: str = "",
    stop_after: int | None = None,
) -> Trained:
    """Train as a recipe says and write weights, card, log, picture and checkpoint into its folder ``out``.

    Parameters: ``resume``, go on from the checkpoint, if there is one; ``fresh``, discard it; ``device``, "auto",
    "cpu" or "cuda"; ``progress`` and ``watch`` are told of every step; ``command``, kept on the card; ``stop_after``,
    stop at this step as Ctrl-C would. Ctrl-C writes a checkpoint and usable weights.

    Raises InputError for recipes and checkpoints that cannot be used, DivergenceError where the loss is not finite.

    On the CPU a resumed training gives the weights of an uninterrupted one, bit for bit.
    """
    if resume and fresh:
        do = "Go on with the one, or begin again with the other."
        raise InputError("train", expected="one of --resume and --fresh", got="both", do=do)
    with joined(device) as team, _seeded(recipe.seed):
        training = _Training.begin(recipe, team, resume, fresh, progress, command)
        with stopping() as stop:  # what was reached is written, too, before a first Ctrl-C ends anything
            training.run(stop, progress, watch or _ignore, stop_after or recipe.run.steps)
            return training.finish()


def has_checkpoint(recipe: Recipe) -> bool:
    """Return whether there is a checkpoint to go on from in the recipe's folder."""
    return (recipe.run.out / CHECKPOINT).exists()


@dataclass
class _Training:
    """A training under way."""

    recipe: Recipe
    task: Task
    team: Team
    feed: Feed
    state: State
    dtype: torch.dtype
    command: str
    resumed_from: int
    saved_at: float = field(default_factory=time.monotonic)

    @classmethod
    def begin(
        cls, recipe: Recipe, team: Team, resume: bool, fresh: bool, progress: Progress, command: str
    ) -> "_Training":
        """Make or load the state and fill the pool."""
        out, dtype = recipe.run.out, precision_of(recipe.run, team.device)
        checkpoint = out / CHECKPOINT
        there = has_checkpoint(recipe)
        if there and not (resume or fresh):
            do = "Go on with --resume, discard it with --fresh, or choose another folder with --out."
            raise InputError(f"training {out}", expected="a new folder", got="one with a checkpoint", do=do)
        task = recipe.build()
        network = task.network()
        resumed = resume and there
        began_from = {} if resumed else _begun(network, recipe.run.init_from)
        state = State.fresh(network, recipe, team.device, dtype == torch.float16)
        state.began_from = began_from
        if resumed:
            state.load(checkpoint, recipe)
        feed = Feed(recipe, task, Pool.of(recipe, recipe.run.pool_folder or out / "pool"), team)
        team.wait()
        if team.leads:
            if fresh:
                checkpoint.unlink(missing_ok=True)
            fill_pool(recipe, feed.pool, feed.seeds(), progress)
        team.wait()
        return cls(recipe, task, team, feed, state, dtype, command, state.step)

    def run(self, stop: threading.Event, progress: Progress, watch: Watch, last: int) -> None:
        """Do the steps up to ``last``, or until somebody asks to stop."""
        run, state = self.recipe.run, self.state
        log = Log(run.out, state.step) if self.team.leads else None
        progress.start("training", run.steps)
        progress.advance("training", state.step)
        try:
            with closing(self.feed.batches(state.step, min(last, run.steps))) as batches:
                for batch in batches:
                    row = self._step(batch)
                    if log is not None:
                        log.write(row)
                        watch(row)
                        self._keep()
                    progress.advance("training")
                    if self.team.total(float(stop.is_set()))[0] > 0:
                        break
        finally:
            if log is not None:
                log.close()
        progress.finish("training")

    def finish(self) -> Trained:
        """Write checkpoint, weights, card and picture; say what became of the training."""
        state, out = self.state, self.recipe.run.out
        weights = out / WEIGHTS
        if self.team.leads:
            state.save(out / CHECKPOINT, self.recipe)
            save_weights(weights, state.mean.state_dict(), self._card(), self.recipe.run.stored == "float16")
            draw_training(out)
        self.team.wait()
        files = (weights, weights.with_suffix(".json"), out / "training.png", out / "log.jsonl")
        parameters = sum(p.numel() for p in state.network.parameters())
        done = (state.step, self.recipe.run.steps, state.seconds, state.metrics)
        return Trained(weights, *done, _device_name(self.team.device), parameters, files, self.resumed_from)

    def _step(self, batch: Batch) -> Row:
        """Do one step and return its row."""
        began, state, run = time.perf_counter(), self.state, self.recipe.run
        torch.manual_seed(mixed(self.recipe.seed, "step", state.step, self.team.rank))
        rate = learning_rate(run, state.step)
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        state.network.train()
        state.optimizer.zero_grad(set_to_none=True)
        moved = self._moved(batch)
        with self._cast():
            loss = self.task.loss(state.network, moved)
        state.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        own = float(loss.detach())
        mean = self.team.total(own)[0] / self.team.size
        self._check(mean, own, batch, "loss")
        norm = self._gradient(batch)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.step += 1
        state.follow(run.ema)
        validation = self._validated() if state.step % run.validate_every == 0 or state.step == run.steps else {}
        state.seconds += time.perf_counter() - began
        return Row(state.step, mean, rate, norm, round(state.seconds, 4), validation)

    def _gradient(self, batch: Batch) -> float:
        """Average and clip the gradients; return their norm before that."""
        state, clip = self.state, self.recipe.run.gradient_clip
        parameters = [p for p in state.network.parameters() if p.requires_grad]
        self.team.average(parameters)
        state.scaler.unscale_(state.optimizer)
        norm = float(nn.utils.clip_grad_norm_(parameters, clip or math.inf))
        if not state.scaler.is_enabled():  # 16-bit floats overflow at times: the scaler leaves such a step out
            self._check(norm, norm, batch, "gradient")
        return norm

    def _check(self, value: float, own: float, batch: Batch, what: str) -> None:
        """Stop where a value is not finite: keep the batch that did it; raises DivergenceError."""
        if math.isfinite(value):
            return
        path = self.recipe.run.out / BAD_BATCH
        if not math.isfinite(own):
            write_tensors(batch, path, {"step": str(self.state.step)})
        if self.team.leads:
            self.state.save(self.recipe.run.out / CHECKPOINT, self.recipe)
        raise DivergenceError(
            f"training: the {what} is {value} at step {self.state.step + 1}. Its batch is in {path}; the network as it "
            "was before is in the checkpoint. Look for bad values in the batch, or lower learning_rate and --resume."
        )

    def _validated(self) -> dict[str, float]:
        """Return the metrics of the running mean over the validation examples, and its loss among them."""
        if self.team.leads and self.recipe.run.validation:
            self.state.metrics = self._measured(self.state.mean.eval())
            loss = self.state.metrics["loss"]
            self.state.best = loss if self.state.best is None else min(loss, self.state.best)
        self.team.wait()
        return self.state.metrics

    def _measured(self, network: nn.Module) -> dict[str, float]:
        totals: dict[str, float] = {}
        count = 0
        for batch in self.feed.validation():
            size = next(iter(batch.values())).shape[0]
            moved = self._moved(batch)
            with torch.no_grad(), self._cast():
                found = {"loss": float(self.task.loss(network, moved)), **self.task.metrics(network, moved)}
            for name, value in found.items():
                totals[name] = totals.get(name, 0.0) + size * float(value)
            count += size
        return {name: total / count for name, total in totals.items()}

    def _keep(self) -> None:
        """Write a checkpoint every few minutes."""
        if time.monotonic() - self.saved_at >= 60 * self.recipe.run.checkpoint_minutes:
            self.state.save(self.recipe.run.out / CHECKPOINT, self.recipe)
            self.saved_at = time.monotonic()

    def _moved(self, batch: Batch) -> Batch:
        device = self.team.device
        return batch if device.type == "cpu" else {n: v.to(device, non_blocking=True) for n, v in batch.items()}

    def _cast(self) -> torch.autocast:
        lower = self.dtype if self.dtype != torch.float32 else None
        return torch.autocast(self.team.device.type, dtype=lower, enabled=lower is not None)

    def _card(self) -> dict[str, Any]:
        """Return what is kept beside the weights."""
        recipe, state = self.recipe, self.state
        facts = {
            "task": recipe.task,
            "architecture": recipe.network,
            "data": _without_place(recipe.data),
            "recipe": recipe.text or recipe.model_dump_json(exclude={"text", "origin"}),
            "command": self.command,
            "seed": recipe.seed,
            "steps": state.step,
            "of_steps": recipe.run.steps,
            "minutes": round(state.seconds / 60, 2),
            "device": _device_name(self.team.device),
            "processes": self.team.size,
            "precision": str(self.dtype).removeprefix("torch."),
            "metrics": state.metrics,
        }
        began_from = {BEGAN: state.began_from} if state.began_from else {}
        return facts | began_from | self.task.card(self.feed.some())


def _without_place(data: dict[str, Any]) -> dict[str, Any]:
    """Return the table [data] with the name of its folder of images alone: where that lies concerns nobody else."""
    return data | ({"folder": Path(data["folder"]).name} if data.get("folder") else {})


def _begun(network: nn.Module, weights: Path | None) -> dict[str, Any]:
    """Let ``network`` begin from a file of weights; return what their card says of their training, {} without any."""
    if weights is None:
        return {}
    tensors, card = load_weights(weights)
    fill(network, tensors, f"init_from {weights.name}")
    return training_of(card)


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"


def _ignore(row: Row) -> None:
    del row


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed torch's own generator, which networks are initialised and drop out with, and restore it at the end."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(mixed(seed, "network"))
        yield
