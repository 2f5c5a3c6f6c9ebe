"""A disk whose flushes take long, as network volumes' do: a library that sleeps in front of fsync and fdatasync."""

import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

from bench.errors import BenchError

SOURCE = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

static void wait_a_while(void) {
    struct timespec while_ = {0, %d};
    nanosleep(&while_, 0);
}

int fsync(int file) {
    wait_a_while();
    return ((int (*)(int)) dlsym(RTLD_NEXT, "fsync"))(file);
}

int fdatasync(int file) {
    wait_a_while();
    return ((int (*)(int)) dlsym(RTLD_NEXT, "fdatasync"))(file);
}
"""


@functools.cache
def library(directory: Path, milliseconds: float) -> Path:
    """The library, for ``LD_PRELOAD``.

    Parameters
    ----------
    directory
        Where to put it.
    milliseconds
        How long each flush takes beside what it takes anyway.

    Raises
    ------
    BenchError
        If there is no C compiler.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise BenchError("there is no C compiler to make a disk slow with: run `apt-get install gcc libc6-dev`")
    directory.mkdir(parents=True, exist_ok=True)
    made = directory / f"slow-flush-{milliseconds:g}ms.so"
    with tempfile.NamedTemporaryFile("w", suffix=".c") as source:
        source.write(SOURCE % round(milliseconds * 1e6))
        source.flush()
        subprocess.run([compiler, "-shared", "-fPIC", "-o", str(made), source.name, "-ldl"], check=True)
    return made
