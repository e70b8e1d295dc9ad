"""A run's questions spread over a Ray cluster: `--executor ray`.

Every worker is an actor with an engine and a search of its own that appends what it records to a
shard of the run folder; the process that was started reads the shards and alone writes
records.jsonl. So all machines see one file system, and nothing recorded is lost with a worker.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from autocoa_bench import tasks
from autocoa_bench.errors import MissingExtra, ServerDown, UserError
from autocoa_bench.runs import config, run_folder
from autocoa_bench.runs import run as bench
from autocoa_bench.runs.scheduler import Backends, Job, run_jobs
from autocoa_bench.runs.solvers import Solver, load_solver
from autocoa_bench.types import FaultNote, Record, RunInfo, TaskSample
from autocoa_bench.util import json_lines

_POLL_SECONDS = 0.5
_CLOSE_SECONDS = 60.0
_MOST_LOSSES = 2
"""So many workers may be lost with a question before it is that question's fault."""


class _Problem(Struct, frozen=True):
    """A UserError on its way from a worker."""

    message: str
    exit_code: int


class _Worker:
    """One worker's half: it lives in a process that Ray starts, on whatever machine."""

    def __init__(
        self, plan: config.RunConfig, samples: tuple[TaskSample, ...], folder: str
    ) -> None:
        os.chdir(folder)  # paths mean what they mean to whoever started the run
        self._plan = plan
        self._samples = samples
        self._file = -1
        self._solver: Solver
        self._world: Backends

    async def start(self) -> RunInfo | _Problem:
        """Make the engine and the search ready, and say what answers here."""
        try:
            self._solver = load_solver(self._plan.solver)
            chosen = tasks.resolve(self._plan.tasks)
            self._world = bench.open_backends(self._plan, self._solver, chosen, ExitStack())
            return await bench.describe_run(self._plan, self._solver, self._samples, self._world)
        except UserError as error:
            return _Problem(str(error), error.exit_code)

    def open(self, shard: str) -> None:
        """Record to this file from now on."""
        self._file = os.open(shard, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    async def work(self, job: Job) -> _Problem | None:
        """Run one episode and append its record to the shard."""
        plan = self._plan

        def keep(record: Record) -> None:
            json_lines.append_line(self._file, msgspec.json.encode(record) + b"\n")

        try:
            await run_jobs([job], self._solver, self._world, plan.sampling, plan.budget, 1, keep)
        except (UserError, OSError) as error:
            return _Problem(str(error), getattr(error, "exit_code", 2))
        return None

    async def close(self) -> None:
        """Stop the engine and the search."""
        for part in (self._world.engine, self._world.search):
            if part is not None:
                await part.close()


class RayExecutor:
    """Workers on a Ray cluster: that of RAY_ADDRESS, a running one, or one of this machine.

    `workers` 0 is as many as the cluster has room for; each takes `cpus` and `gpus` of it.
    """

    def __init__(self, workers: int = 0, cpus: float = 1.0, gpus: float = 0.0) -> None:
        if workers < 0 or cpus < 0 or gpus < 0 or cpus + gpus == 0:
            raise UserError(
                f"the executor 'ray' takes workers from 1 and cpus or gpus above 0 each, not "
                f"workers={workers},cpus={cpus:g},gpus={gpus:g}"
            )
        self._wanted = workers
        self._cpus = cpus
        self._gpus = gpus
        self._ray: Any = None
        self._workers: list[Any] = []
        self._each = 1

    def start(self, plan: config.RunConfig, samples: tuple[TaskSample, ...]) -> RunInfo:
        """Start the workers and say what all of them run. Raises UserError."""
        ray = self._ray = _library()
        if not ray.is_initialized():
            ray.init(log_to_driver=False, logging_level="ERROR")
        count = self._wanted or self._room(ray.cluster_resources())
        # One episode at a time and worker is the least; the rest is shared out.
        self._each = max(1, -(-plan.concurrency // count))
        remote = ray.remote(
            num_cpus=self._cpus,
            num_gpus=self._gpus,
            max_concurrency=self._each + 2,
            scheduling_strategy="SPREAD",
        )(_Worker)
        concurrency = plan.concurrency
        plan = msgspec.structs.replace(plan, concurrency=self._each)
        here = str(Path.cwd())
        self._workers = [remote.remote(plan, samples, here) for _ in range(count)]
        try:
            infos = ray.get([worker.start.remote() for worker in self._workers])
        except ray.exceptions.RayError as error:
            raise UserError(f"a worker of the Ray cluster cannot start: {_first(error)}") from None
        for info in infos:
            if isinstance(info, _Problem):
                raise _raised(info)
            if differences := list(run_folder.differing(infos[0].spec, info.spec)):
                raise UserError(
                    f"the workers of the Ray cluster are not alike: {'; '.join(differences)}"
                )
        first: RunInfo = infos[0]
        session = msgspec.structs.replace(first.sessions[0], concurrency=concurrency)
        return msgspec.structs.replace(first, sessions=(session,))

    def run(self, folder: Path, jobs: Iterable[Job], on_record: Callable[[Record], None]) -> None:
        """Run every job, handing each record over as its worker has written it.

        Raises UserError, ServerDown once every worker is lost.
        """
        shards = (folder / run_folder.SHARDS).resolve()
        shards.mkdir(exist_ok=True)
        files = [shards / f"{uuid.uuid4().hex}.jsonl" for _ in self._workers]
        pairs = list(zip(self._workers, files, strict=True))
        self._ray.get([worker.open.remote(str(file)) for worker, file in pairs])
        crew = {worker: run_folder.Shard(file) for worker, file in pairs}
        _Dispatch(self._ray, crew, self._each, on_record).run(deque(jobs))
        for file in files:
            file.unlink(missing_ok=True)
        shards.rmdir()

    def close(self) -> None:
        """Stop the workers' engines, and the workers; safe to call twice."""
        ray, workers, self._workers = self._ray, self._workers, []
        for worker in workers:
            with suppress(ray.exceptions.RayError):  # it is gone, or was never ready
                ray.get(worker.close.remote(), timeout=_CLOSE_SECONDS)
            ray.kill(worker)

    def _room(self, has: dict[str, float]) -> int:
        rooms = [has.get(name, 0.0) / each for name, each in self._needs().items() if each]
        if (count := int(min(rooms))) < 1:
            needs = " and ".join(f"{each:g} {name}" for name, each in self._needs().items() if each)
            raise UserError(
                f"the Ray cluster has no {needs} for a worker; give --executor "
                "ray:cpus=...,gpus=... what one is to take"
            )
        return count

    def _needs(self) -> dict[str, float]:
        return {"CPU": self._cpus, "GPU": self._gpus}


class _Dispatch:
    """Which worker runs what, until all is recorded."""

    def __init__(
        self,
        ray: Any,
        crew: dict[Any, run_folder.Shard],
        each: int,
        on_record: Callable[[Record], None],
    ) -> None:
        self._ray = ray
        self._crew = crew
        self._each = each
        self._on_record = on_record
        self._given: dict[Any, tuple[Any, Job]] = {}
        self._losses: Counter[run_folder.Key] = Counter()
        self._recorded: set[run_folder.Key] = set()

    def run(self, waiting: deque[Job]) -> None:
        """Hand out jobs as workers become free; those of a lost worker again."""
        while waiting or self._given:
            self._hand_out(waiting)
            ended, _ = self._ray.wait(list(self._given), timeout=_POLL_SECONDS)
            problems = [self._end_of(task, waiting) for task in ended]
            for shard in self._crew.values():
                self._read(shard)
            for problem in problems:
                if problem is not None:
                    raise _raised(problem)

    def _hand_out(self, waiting: deque[Job]) -> None:
        load = Counter(worker for worker, _ in self._given.values())
        for worker in self._crew:
            while waiting and load[worker] < self._each:
                job = waiting.popleft()
                self._given[worker.work.remote(job)] = (worker, job)
                load[worker] += 1

    def _end_of(self, task: Any, waiting: deque[Job]) -> _Problem | None:
        """Take note of a task that ended, or whose worker did."""
        if task not in self._given:  # of a worker that has been found lost
            return None
        worker, job = self._given[task]
        try:
            problem: _Problem | None = self._ray.get(task)
        except self._ray.exceptions.RayActorError:
            self._lose(worker, waiting)
            return None
        del self._given[task]
        self._read(self._crew[worker])
        if problem is None and job.key not in self._recorded:
            return _Problem(
                "a worker of the Ray cluster recorded what cannot be read here: the run folder "
                "must be on a file system that all its machines share",
                2,
            )
        return problem

    def _lose(self, worker: Any, waiting: deque[Job]) -> None:
        """Leave a worker out; what it has not recorded is asked again."""
        self._read(self._crew.pop(worker))
        lost = {task: job for task, (its, job) in self._given.items() if its == worker}
        for task, job in lost.items():
            del self._given[task]
            self._losses[job.key] += 1
            if job.key in self._recorded:
                continue
            if self._losses[job.key] < _MOST_LOSSES:
                waiting.append(job)
                continue
            note = FaultNote("worker-lost", f"{_MOST_LOSSES} workers were lost while they ran it")
            self._on_record(Record(*job, fault=note))
        left = len(self._crew)
        print(f"warning: a Ray worker is lost; {left} go on", file=sys.stderr)
        if not left:
            raise ServerDown(
                "every Ray worker is lost; what was recorded is safe, and the same command resumes"
            )

    def _read(self, shard: run_folder.Shard) -> None:
        for record in shard.new():
            self._recorded.add(record.key)
            self._on_record(record)


def _raised(problem: _Problem) -> UserError:
    kind = ServerDown if problem.exit_code == ServerDown.exit_code else UserError
    return kind(problem.message)


def _first(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _library() -> Any:
    try:
        import ray
    except ImportError:
        raise MissingExtra("spreading a run over a Ray cluster", "ray") from None
    return ray
