#!/bin/sh
# Takes out of the base what nothing in the server's image runs: package managers, perl, what mounts and logs in, manuals.
# What is left: Python, its libraries, a shell and the usual small tools. dpkg's list stays true, for those who look up
# vulnerabilities in it.
set -eu
unused="
    adduser apt debconf debian-archive-keyring diffutils e2fsprogs gpgv init-system-helpers libapt-pkg6.0 libaudit-common libaudit1
    libblkid1 libcap-ng0 libcom-err2 libdebconfclient0 libext2fs2 libfdisk1 libfile-find-rule-perl libgcrypt20 libgdbm-compat4 libgmp10
    libgnutls30 libgpg-error0 libhogweed6 libidn2-0 libmount1 libnettle8 libnumber-compare-perl libp11-kit0 libpam-modules
    libpam-modules-bin libpam-runtime libpam0g libperl5.36 libseccomp2 libsemanage-common libsemanage2 libsepol2 libsmartcols1
    libss2 libsystemd0 libtasn1-6 libtext-glob-perl libudev1 libunistring2 libxxhash0 login logsave mount ncurses-bin openssl
    passwd perl perl-base perl-modules-5.36 python3-distutils python3-lib2to3 python3-pip python3-pip-whl
    python3-pkg-resources python3-setuptools python3-setuptools-whl python3-venv python3-wheel python3.11-venv
    sysvinit-utils usr-is-merged usrmerge util-linux util-linux-extra"
# shellcheck disable=SC2086 # names
installed=$(dpkg-query --show --showformat '${db:Status-Abbrev}${Package}\n' $unused 2>/dev/null | sed -n 's/^ii *//p')
for name in $installed; do
    rm -f /var/lib/dpkg/info/"$name".p* /var/lib/dpkg/info/"$name":*.p* # what they would do as they go needs others that go
done
# shellcheck disable=SC2086
dpkg --purge --force-all $installed >/dev/null 2>&1
if python3 -m pip --version >/dev/null 2>&1; then # a Python that Debian didn't bring
    python3 -m pip uninstall --quiet --yes --root-user-action ignore setuptools wheel pip
fi
library=$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
for part in test idlelib lib2to3 turtledemo tkinter ensurepip pydoc_data; do
    rm -rf "${library:?}/$part"
done
python3 -m compileall -q "$library" >/dev/null || true # some of it only shows what can't be compiled
find /usr/share/doc -type f -not -name copyright -delete
rm -rf /usr/share/man /usr/share/info /usr/share/locale /usr/share/lintian /usr/share/bash-completion /usr/share/python-wheels \
    /usr/lib/python3/dist-packages/* /usr/lib/*/gconv /usr/lib/*/perl-base /usr/local/include /var/lib/apt /var/cache/* /var/log/* /root/.cache
