"""Reproducible arithmetic: the same bits on every CPU of an architecture.

OpenBLAS and NumPy choose kernels that suit the CPU. The kernels add and multiply in different orders, so their results
differ in the last bits. :func:`pin` chooses one kernel for each architecture. Call it before NumPy and SciPy are
imported: each contains an OpenBLAS, which reads the environment when it is loaded.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

X86_64, ARM64 = "x86-64-v3", "arm64"

KERNELS = {X86_64: "Haswell", ARM64: "ARMV8"}
"""OpenBLAS's kernel for each architecture. All CPUs of the architecture support it."""

NOT_USED = {X86_64: "X86_V4 AVX512_ICL AVX512_SPR", ARM64: "SVE"}
"""Further CPU features that NumPy would use if the CPU has them, by NumPy's names."""

X86_64_V3 = ("avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave")
"""CPU features of x86-64-v3, by the Linux kernel's names. Definition: https://gitlab.com/x86-psABIs/x86-64-ABI."""

CPU = Path("/proc/cpuinfo")


def architecture() -> str:
    """Returns the architecture, which determines the bits of results: ``x86-64-v3``, ``arm64``, or another name."""
    machine = platform.machine().lower()
    return {"x86_64": X86_64, "amd64": X86_64, "aarch64": ARM64}.get(machine, machine)


def lacking() -> list[str]:
    """Returns the features of x86-64-v3 that this CPU lacks. Empty if it has all, or if they are unknown."""
    if architecture() != X86_64:
        return []
    try:
        lines = CPU.read_text(errors="replace").splitlines()
    except OSError:
        return []
    flags = next((set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), None)
    return [] if flags is None else [name for name in X86_64_V3 if name not in flags]


def pin() -> None:
    """Choose the kernels for this process and its child processes, whatever the environment says."""
    # The number of threads determines the order of additions. One is enough, because each request has its own thread.
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    kernel = KERNELS.get(architecture())
    if kernel is None or lacking():
        return
    os.environ["OPENBLAS_CORETYPE"] = kernel
    os.environ["NPY_DISABLE_CPU_FEATURES"] = NOT_USED[architecture()]
    os.environ.pop("NPY_ENABLE_CPU_FEATURES", None)
