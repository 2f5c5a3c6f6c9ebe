"""A physics-informed neural network for the heat equation, in NumPy: the network, its derivatives and their gradients.

It solves ∂u/∂t = α ∂²u/∂x² for 0 ≤ x, t ≤ 1, with u = sin(πx) at the start and u = 0 at both ends, after Raissi, Perdikaris
and Karniadakis, J. Comput. Phys. 378, 686 (2019). The solution is exp(−απ²t) sin(πx).
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Losses", "Network", "Problem", "exact"]

Array = npt.NDArray[np.float64]

DIFFUSIVITY = 0.2


def exact(x: Array, t: Array) -> Array:
    """Return the solution."""
    return np.exp(-DIFFUSIVITY * np.pi**2 * t) * np.sin(np.pi * x)


class Jet(NamedTuple):
    """A function at points, with its derivatives ∂/∂x, ∂²/∂x² and ∂/∂t: one row for each point."""

    value: Array
    dx: Array
    dxx: Array
    dt: Array


class Losses(NamedTuple):
    """Parts of the loss: mean squares of the residual, and of the errors on the boundary and at the start."""

    residual: float
    boundary: float
    initial: float

    @property
    def total(self) -> float:
        return self.residual + 10 * self.boundary + 10 * self.initial


class Network:
    """A network of two inputs and one output with layers of tanh. Derivatives go through it with the values.

    Parameters
    ----------
    widths
        Units of the hidden layers.
    seed
        Seed of the weights.
    """

    def __init__(self, widths: tuple[int, ...] = (24, 24), seed: int = 0) -> None:
        chance = np.random.default_rng(seed)
        sizes = (2, *widths, 1)
        self.weights: list[Array] = []
        for fan_in, fan_out in itertools.pairwise(sizes):
            self.weights.append(chance.normal(0, np.sqrt(2 / (fan_in + fan_out)), (fan_in, fan_out)))
            self.weights.append(np.zeros(fan_out))

    def forward(self, x: Array, t: Array) -> tuple[Jet, list[tuple[Jet, Jet]]]:
        """Return the output at points, and for `backward` what went into each layer and its activation."""
        one, zero = np.ones_like(x), np.zeros_like(x)
        jet = Jet(np.stack([x, t], 1), np.stack([one, zero], 1), np.zeros((len(x), 2)), np.stack([zero, one], 1))
        kept = []
        last = len(self.weights) // 2 - 1
        for layer in range(last + 1):
            weight, bias = self.weights[2 * layer : 2 * layer + 2]
            before = jet
            z = Jet(before.value @ weight + bias, before.dx @ weight, before.dxx @ weight, before.dt @ weight)
            kept.append((before, z))
            jet = z if layer == last else _tanh(z)
        return jet, kept

    def backward(self, gradient: Jet, kept: list[tuple[Jet, Jet]]) -> list[Array]:
        """Return the gradient of a loss by each weight, from that by the output."""
        found: list[Array] = []
        last = len(kept) - 1
        for layer in range(last, -1, -1):
            before, z = kept[layer]
            if layer != last:
                gradient = _tanh_backward(gradient, z)
            weight = self.weights[2 * layer]
            by_weight = sum(a.T @ g for a, g in zip(before, gradient, strict=True))
            found[:0] = [np.asarray(by_weight), gradient.value.sum(0)]
            gradient = Jet(*(g @ weight.T for g in gradient))
        return found


class Problem:
    """Points where the equation, the boundary and the start are evaluated.

    Parameters
    ----------
    points
        Points inside.
    seed
        Seed of the points.
    """

    def __init__(self, points: int = 600, seed: int = 1) -> None:
        chance = np.random.default_rng(seed)
        edge = max(40, points // 8)
        self._inside = chance.random((2, points))
        self._boundary = np.concatenate([np.zeros(edge), np.ones(edge)]), chance.random(2 * edge)
        self._start = chance.random(2 * edge), np.zeros(2 * edge)
        self.points = points

    def losses(self, network: Network) -> tuple[Losses, list[Array]]:
        """Return the losses, and the gradient of their total by each weight."""
        inside, kept = network.forward(*self._inside)
        residual = inside.dt - DIFFUSIVITY * inside.dxx
        scale = 2 / residual.size
        zero = np.zeros_like(residual)
        total = network.backward(Jet(zero, zero, -DIFFUSIVITY * scale * residual, scale * residual), kept)
        parts = []
        for points, wanted in ((self._boundary, None), (self._start, exact(*self._start)[:, None])):
            jet, kept = network.forward(*points)
            error = jet.value if wanted is None else jet.value - wanted
            zero = np.zeros_like(error)
            gradient = Jet(20 * error / error.size, zero, zero, zero)
            total = [a + b for a, b in zip(total, network.backward(gradient, kept), strict=True)]
            parts.append(float(np.mean(error**2)))
        return Losses(float(np.mean(residual**2)), *parts), total

    def residual_rms(self, network: Network) -> float:
        """Return the root mean square of the residual."""
        jet, _ = network.forward(*self._inside)
        return float(np.sqrt(np.mean((jet.dt - DIFFUSIVITY * jet.dxx) ** 2)))


def relative_error(network: Network, points: int = 41) -> tuple[float, float]:
    """Return the relative L2 error of the solution on a grid, and the largest absolute error."""
    x, t = (axis.ravel() for axis in np.meshgrid(np.linspace(0, 1, points), np.linspace(0, 1, points)))
    difference = network.forward(x, t)[0].value[:, 0] - exact(x, t)
    return float(np.linalg.norm(difference) / np.linalg.norm(exact(x, t))), float(np.abs(difference).max())


def _tanh(z: Jet) -> Jet:
    h = np.tanh(z.value)
    first = 1 - h**2
    second = -2 * h * first
    return Jet(h, first * z.dx, first * z.dxx + second * z.dx**2, first * z.dt)


def _tanh_backward(gradient: Jet, z: Jet) -> Jet:
    h = np.tanh(z.value)
    first = 1 - h**2
    second = -2 * h * first
    third = -2 * (first**2 + h * second)
    by_value = (
        gradient.value * first
        + gradient.dx * second * z.dx
        + gradient.dxx * (second * z.dxx + third * z.dx**2)
        + gradient.dt * second * z.dt
    )
    return Jet(
        by_value, gradient.dx * first + gradient.dxx * 2 * second * z.dx, gradient.dxx * first, gradient.dt * first
    )
