"""The arithmetic of every fold: the same bits whatever the CPU.

OpenBLAS and NumPy choose among several kernels by the CPU, which add and multiply in different orders, and so differ in the last
bits. :func:`pin` chooses one for each architecture. It has to come before NumPy and SciPy are imported; each brings an OpenBLAS of
its own, which reads the environment when it is loaded.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

X86_64, ARM64 = "x86-64-v3", "arm64"

KERNELS = {X86_64: "Haswell", ARM64: "ARMV8"}
"""OpenBLAS's kernel on each architecture: what each of its CPUs has."""

NOT_USED = {X86_64: "X86_V4 AVX512_ICL AVX512_SPR", ARM64: "SVE"}
"""What NumPy would use beyond that, by its names, where a CPU has it."""

X86_64_V3 = ("avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave")
"""What a CPU has by the definition of x86-64-v3, by the kernel's names: https://gitlab.com/x86-psABIs/x86-64-ABI."""

CPU = Path("/proc/cpuinfo")


def architecture() -> str:
    """What decides a fold's bits: ``x86-64-v3`` or ``arm64``; any other by its own name."""
    machine = platform.machine().lower()
    return {"x86_64": X86_64, "amd64": X86_64, "aarch64": ARM64}.get(machine, machine)


def lacking() -> list[str]:
    """What this CPU lacks of its architecture's level; empty where nothing is, or where it can't be told."""
    if architecture() != X86_64:
        return []
    try:
        lines = CPU.read_text(errors="replace").splitlines()
    except OSError:
        return []
    flags = next((set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), None)
    return [] if flags is None else [name for name in X86_64_V3 if name not in flags]


def pin() -> None:
    """Choose the kernels, whatever the environment asks for, in this process and those that it starts."""
    # How many threads share a sum decides the order of its additions. Requests have threads of their own, too.
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    kernel = KERNELS.get(architecture())
    if kernel is None or lacking():
        return
    os.environ["OPENBLAS_CORETYPE"] = kernel
    os.environ["NPY_DISABLE_CPU_FEATURES"] = NOT_USED[architecture()]
    os.environ.pop("NPY_ENABLE_CPU_FEATURES", None)
