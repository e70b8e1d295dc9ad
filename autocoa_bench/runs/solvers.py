"""Solvers: from a name such as `react:shots=0` to an object that answers questions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Protocol, runtime_checkable

from autocoa_bench import registry
from autocoa_bench.episode import Dialect, prompt_sha256
from autocoa_bench.errors import Fault
from autocoa_bench.runs.scheduler import Backends, drive
from autocoa_bench.types import Budget, Question, Sampling, Trajectory


@runtime_checkable
class DirectSolver(Protocol):
    """A solver that runs its own loop: any function from a question to a trajectory.

    `solve` is called in a thread of its own and makes its own searches and model calls.
    """

    name: str
    section: str

    def solve(self, question: Question) -> Trajectory:
        """Answer one question. Any exception is a fault of that question."""
        ...


class Solver(NamedTuple):
    """A solver ready to run. `spec` is its canonical name, options included."""

    spec: str
    section: str
    searches: bool
    prompt_sha256: str
    plugin: Dialect | DirectSolver
    adapters: Mapping[str, Path] = MappingProxyType({})
    """The LoRA adapters that the solver ships, by model name (a plug-in's `adapters`)."""

    @property
    def uses_engine(self) -> bool:
        """True for a dialect, which the run's model engine answers for."""
        return not isinstance(self.plugin, DirectSolver)

    async def solve(
        self, question: Question, backends: Backends, sampling: Sampling, budget: Budget
    ) -> Trajectory:
        """Run one episode. Raises Fault."""
        if isinstance(self.plugin, DirectSolver):
            try:
                return await asyncio.to_thread(self.plugin.solve, question)
            except Fault:
                raise
            except Exception as error:
                raise Fault("solver-error", f"{type(error).__name__}: {error}") from error
        return await drive(question, self.plugin, backends, sampling, budget)


def load_solver(spec: str) -> Solver:
    """Make the solver that `name` or `name:option=value,...` names. Raises UserError."""
    label, plugin = registry.make("solvers", spec)
    if isinstance(plugin, DirectSolver):
        return Solver(label, plugin.section, searches=False, prompt_sha256="", plugin=plugin)
    adapters: Mapping[str, Path] = getattr(plugin, "adapters", {})
    return Solver(label, plugin.section, plugin.searches, prompt_sha256(plugin), plugin, adapters)
