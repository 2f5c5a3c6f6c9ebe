#!/bin/sh
# Installs what the server runs on into /opt/venv, pinned as the tests ran it, and takes out what no server reads: tests,
# translations (the pages are in one language), files to compile or to debug against, and symbols.
#
#   packages.sh CLIENT REQUIREMENTS...      such as client requirements/server.txt
set -eu
python3 -m venv --without-pip /opt/venv
install="python3 -m pip --disable-pip-version-check --python /opt/venv/bin/python3 install --quiet --no-cache-dir --no-compile"
$install --no-deps "$1"
shift
for requirements; do
    $install --requirement "$requirements"
done
site=$(/opt/venv/bin/python3 -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
find "$site" -depth -type d -name tests -exec rm -r {} +
find "$site" -type f \( -name '*.po' -o -name '*.mo' -o -name '*.map' -o -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' \
    -o -name '*.h' -o -name '*.hpp' -o -name '*.c' -o -name '*.a' \) -delete
# Of the descriptions of all services of AWS, 25 MB, the client of a bucket reads that of S3, and those for its credentials.
find "$site/botocore/data" "$site/boto3/data" -mindepth 1 -maxdepth 1 -type d ! -name s3 ! -name sts ! -name sso ! -name sso-oidc -exec rm -r {} +
# Those in *.libs were moved to fit into their wheels, which strip would undo.
find "$site" -type f -name '*.so' -not -path '*.libs/*' -exec strip --strip-unneeded {} +
