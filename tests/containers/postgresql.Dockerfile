# What stands in for the official image of PostgreSQL where that can't be pulled: Debian's, under the same user, with the part of
# the official entry point that the manifests rely on.
ARG BASE
FROM ${BASE}
RUN groupadd --system --gid 999 postgres && useradd --system --uid 999 --gid 999 --home-dir /var/lib/postgresql postgres \
    && apt-get update -qq \
    && mkdir -p /etc/postgresql-common && echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf \
    && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends postgresql >/dev/null \
    && rm -rf /var/lib/apt/lists/* \
    && install --directory --owner 999 --group 999 --mode 700 /var/lib/postgresql/data \
    && install --directory --owner 999 --group 999 --mode 3777 /var/run/postgresql
COPY postgresql.sh /usr/local/bin/
ENV PATH=/usr/lib/postgresql/15/bin:/usr/local/bin:/usr/bin:/bin
STOPSIGNAL SIGINT
USER 999:999
ENTRYPOINT ["postgresql.sh"]
