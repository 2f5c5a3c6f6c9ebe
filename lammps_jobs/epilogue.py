"""Report a finished LAMMPS job: `python -m lammps_jobs.epilogue --stream lammps-runtime x y z`.

This is the last line of a job script. If something is missing on the machine, it prints one line, and the exit code is
0. So this module must run with any Python 3. The work is done by `lammps_jobs.job_report`.
"""

import sys

OLDEST = (3, 9)


def main(argv: "list[str] | None" = None) -> int:
    """Report one job, or flush the spool. Always returns 0: a reporting failure never fails a job."""
    try:
        if sys.version_info < OLDEST:
            raise ImportError(f"Python {OLDEST[0]}.{OLDEST[1]} or later is needed, this is {sys.version.split()[0]}")
        from lammps_jobs import job_report

        return job_report.main(argv)
    except Exception as error:
        try:
            sys.stderr.write(f"tailrace: nothing posted: {error}\n")
            sys.stderr.flush()
        except Exception:
            sys.stderr = None  # so that Python doesn't fail when it closes it
        return 0


if __name__ == "__main__":
    sys.exit(main())
