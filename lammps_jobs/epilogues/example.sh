#!/bin/bash
#SBATCH --job-name=melt
#SBATCH --ntasks=1
#SBATCH --output=melt-%j.out
# A job script that reports its own run:   sbatch --time="$(tailrace walltime runtime x=2 y=3 z=3 processes=1)" example.sh 2 3 3
#
# Submit it from the top directory of the checkout. LAMMPS_POTENTIALS is the directory of LAMMPS's potentials.
checkout=$PWD
mkdir -p "melt-$SLURM_JOB_ID" && cd "melt-$SLURM_JOB_ID" || exit 1
export TAILRACE_STREAM=lammps-runtime TAILRACE_FEATURES="x y z"
. "$checkout/lammps_jobs/epilogues/trap.sh"
export OMP_NUM_THREADS=1
srun lmp -in "$checkout/lammps_jobs/inputs/melt.in" -log log.lammps -screen none \
    -v x "$1" -v y "$2" -v z "$3" -v steps 20 -v seed 1 -v potential CuZr_mm.eam.fs
