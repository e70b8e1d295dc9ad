"""A Ray cluster as the executor of a run: `--executor ray`.

Each worker is an actor with an engine and a search of its own, which appends its records to a shard
of the run folder; the process that was started reads the shards and alone writes records.jsonl. So
all machines must see one file system, and no record is lost with a worker.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from autocoa_bench.engines import late_settings
from autocoa_bench.errors import ServerDown, UserError
from autocoa_bench.runs.config import RunConfig
from autocoa_bench.runs.executor import describe_run, open_backends
from autocoa_bench.runs.ray_cluster import Secrets, connect
from autocoa_bench.runs.run_folder import SHARDS, Key, Shard, differing
from autocoa_bench.runs.scheduler import Job, run_jobs
from autocoa_bench.runs.solvers import Backends, Solver, load_solver
from autocoa_bench.tasks import resolve
from autocoa_bench.types import FaultNote, Record, RunInfo, TaskSample
from autocoa_bench.util.json_lines import LineFile

_POLL_SECONDS = 0.5
_CLOSE_SECONDS = 60.0
_MAX_LOSSES = 2
"""A question is recorded as a fault once this many workers were lost while running it."""


class _Problem(Struct, frozen=True):
    """A UserError on its way from a worker."""

    message: str
    exit_code: int


class _Worker:
    """A worker: it lives in a process that Ray starts, on any machine of the cluster."""

    def __init__(
        self, config: RunConfig, samples: tuple[TaskSample, ...], working_folder: str
    ) -> None:
        os.chdir(working_folder)  # relative paths mean the same as in the process that was started
        self._config = config
        self._samples = samples
        self._file: LineFile
        self._solver: Solver
        self._backends: Backends

    async def start(self, secrets: Secrets) -> RunInfo | _Problem:
        """Start the engine and the search with these secrets, and describe the run."""
        os.environ.update(secrets)
        config = self._config
        try:
            self._solver = load_solver(config.solver)
            tasks = resolve(config.tasks, config.fields)
            self._backends = open_backends(config, self._solver, tasks, ExitStack())
            return await describe_run(config, self._solver, self._samples, self._backends)
        except UserError as error:
            return _Problem(str(error), error.exit_code)

    def open(self, shard: str) -> _Problem | None:
        """Record to this file from now on."""
        try:
            self._file = LineFile(Path(shard))
        except UserError as error:
            return _Problem(str(error), error.exit_code)
        return None

    async def work(self, job: Job) -> _Problem | None:
        """Run one episode and append its record to the shard."""
        config = self._config
        limits = config.sampling, config.budget, 1
        try:
            await run_jobs([job], self._solver, self._backends, *limits, self._file.add)
        except UserError as error:
            return _Problem(str(error), error.exit_code)
        return None

    async def late_settings(self) -> dict[str, str | int | float]:
        """The settings of the engine that refusals have changed."""
        return late_settings(self._backends.engine)

    async def close(self) -> None:
        """Stop the engine and the search."""
        await self._backends.close()


class RayExecutor:
    """Workers on a Ray cluster (`ray_cluster.connect`).

    With `workers` 0 there are as many as the cluster has room for; each takes `cpus` and `gpus`.
    """

    def __init__(self, workers: int = 0, cpus: float = 1.0, gpus: float = 0.0) -> None:
        if workers < 0 or cpus < 0 or gpus < 0 or cpus + gpus == 0:
            raise UserError(
                "the executor 'ray' takes workers, cpus and gpus of 0 or more (workers=0: as many "
                "as fit; cpus and gpus not both 0), not "
                f"workers={workers},cpus={cpus:g},gpus={gpus:g}"
            )
        self._count = workers
        self._needs = {"CPU": cpus, "GPU": gpus}
        self._ray: Any = None
        self._workers: list[Any] = []
        self._episodes_per_worker = 1

    def start(self, config: RunConfig, samples: tuple[TaskSample, ...]) -> RunInfo:
        """Start the workers and describe the run that all of them run. Raises UserError."""
        ray, secrets = connect()
        self._ray = ray
        count = self._count or self._room(ray.cluster_resources())
        # The run's concurrency is shared out, but each worker runs at least one episode.
        self._episodes_per_worker = max(1, -(-config.concurrency // count))
        actor = ray.remote(
            num_cpus=self._needs["CPU"],
            num_gpus=self._needs["GPU"],
            max_concurrency=self._episodes_per_worker + 2,
            scheduling_strategy="SPREAD",
        )(_Worker)
        own = msgspec.structs.replace(config, concurrency=self._episodes_per_worker)
        self._workers = [actor.remote(own, samples, str(Path.cwd())) for _ in range(count)]
        try:
            infos = ray.get([worker.start.remote(secrets) for worker in self._workers])
        except ray.exceptions.RayError as error:
            lines = [line for line in str(error).splitlines() if line.strip()]
            reason = lines[0] if lines else type(error).__name__
            raise UserError(f"a worker of the Ray cluster cannot start: {reason}") from None
        for info in infos:
            if isinstance(info, _Problem):
                raise _error(info)
            if differences := list(differing(infos[0].spec, info.spec)):
                raise UserError(
                    f"the workers of the Ray cluster are not alike: {'; '.join(differences)}"
                )
        first: RunInfo = infos[0]
        session = msgspec.structs.replace(first.sessions[0], concurrency=config.concurrency)
        return msgspec.structs.replace(first, sessions=(session,))

    def run(self, folder: Path, jobs: Iterable[Job], on_record: Callable[[Record], None]) -> None:
        """Run every job and hand over each record once its worker has written it.

        Raises UserError, ServerDown once every worker is lost.
        """
        folder = (folder / SHARDS).resolve()
        folder.mkdir(exist_ok=True)
        files = [folder / f"{uuid.uuid4().hex}.jsonl" for _ in self._workers]
        workers = list(zip(self._workers, files, strict=True))
        for problem in self._ray.get([worker.open.remote(str(file)) for worker, file in workers]):
            if problem is not None:
                raise _error(problem)
        shards = {worker: Shard(file) for worker, file in workers}
        _Dispatch(self._ray, shards, self._episodes_per_worker, on_record).run(deque(jobs))
        for file in files:
            file.unlink(missing_ok=True)
        folder.rmdir()

    def late_settings(self) -> dict[str, str | int | float]:
        settings: dict[str, str | int | float] = {}
        for worker in self._workers:
            with suppress(self._ray.exceptions.RayError):  # it is lost
                settings |= self._ray.get(worker.late_settings.remote(), timeout=_CLOSE_SECONDS)
        return settings

    def close(self) -> None:
        """Stop the workers and their engines; safe to call twice."""
        ray, workers, self._workers = self._ray, self._workers, []
        for worker in workers:
            with suppress(ray.exceptions.RayError):  # it is lost, or was never ready
                ray.get(worker.close.remote(), timeout=_CLOSE_SECONDS)
            ray.kill(worker)

    def _room(self, resources: dict[str, float]) -> int:
        """The number of workers that the cluster has room for. Raises UserError for none."""
        needs = {name: amount for name, amount in self._needs.items() if amount}
        count = int(min(resources.get(name, 0.0) / amount for name, amount in needs.items()))
        if count < 1:
            listed = " and ".join(f"{amount:g} {name}" for name, amount in needs.items())
            raise UserError(
                f"the Ray cluster has no {listed} for a worker; set what a worker takes with "
                "--executor ray:cpus=...,gpus=..."
            )
        return count


@dataclass
class _Dispatch:
    """Assigns jobs to workers until all are recorded."""

    ray: Any
    shards: dict[Any, Shard]
    episodes_per_worker: int
    on_record: Callable[[Record], None]

    def __post_init__(self) -> None:
        self._running: dict[Any, tuple[Any, Job]] = {}
        self._losses: Counter[Key] = Counter()
        self._recorded: set[Key] = set()

    def run(self, waiting: deque[Job]) -> None:
        """Run jobs as workers become free; those of a lost worker run again."""
        while waiting or self._running:
            self._assign(waiting)
            ended, _ = self.ray.wait(list(self._running), timeout=_POLL_SECONDS)
            problems = [self._end(task, waiting) for task in ended]
            for shard in self.shards.values():
                self._read(shard)
            for problem in problems:
                if problem is not None:
                    raise _error(problem)

    def _assign(self, waiting: deque[Job]) -> None:
        load = Counter(worker for worker, _ in self._running.values())
        for worker in self.shards:
            while waiting and load[worker] < self.episodes_per_worker:
                job = waiting.popleft()
                self._running[worker.work.remote(job)] = (worker, job)
                load[worker] += 1

    def _end(self, task: Any, waiting: deque[Job]) -> _Problem | None:
        """Handle a task that has ended, or whose worker has."""
        if task not in self._running:  # its worker has already been dropped
            return None
        worker, job = self._running[task]
        try:
            problem: _Problem | None = self.ray.get(task)
        except self.ray.exceptions.RayActorError:
            self._drop(worker, waiting)
            return None
        del self._running[task]
        self._read(self.shards[worker])
        if problem is None and job.key not in self._recorded:
            return _Problem(
                "a record of a worker of the Ray cluster cannot be read here: the run folder must "
                "be on a file system that all its machines share",
                2,
            )
        return problem

    def _drop(self, worker: Any, waiting: deque[Job]) -> None:
        """Drop a lost worker, and run again what it has not recorded."""
        self._read(self.shards.pop(worker))
        lost = {task: job for task, (owner, job) in self._running.items() if owner == worker}
        for task, job in lost.items():
            del self._running[task]
            self._losses[job.key] += 1
            if job.key in self._recorded:
                continue
            if self._losses[job.key] < _MAX_LOSSES:
                waiting.append(job)
                continue
            fault = FaultNote("worker-lost", f"{_MAX_LOSSES} workers were lost while they ran it")
            self.on_record(Record(*job, fault=fault))
        remaining = len(self.shards)
        print(f"warning: a Ray worker is lost; {remaining} remain", file=sys.stderr)
        if not remaining:
            raise ServerDown(
                "every Ray worker is lost; what was recorded is safe, and the same command resumes"
            )

    def _read(self, shard: Shard) -> None:
        for record in shard.new():
            self._recorded.add(record.key)
            self.on_record(record)


def _error(problem: _Problem) -> UserError:
    kind = ServerDown if problem.exit_code == ServerDown.exit_code else UserError
    return kind(problem.message)
