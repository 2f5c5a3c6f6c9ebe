# The server: `python -m server` as nobody special, on a root file system that may be read-only.
#
#   make image
#   podman run --rm --read-only --volume tailrace:/var/lib/tailrace --publish 8080:8080 … tailrace     (docs/how-to/one-machine.md)
#   podman exec tailrace manage.py init
#
# What it writes is in /var/lib/tailrace, and in /tmp what may be lost. The base is taken apart first and each layer
# copied into an empty image: numpy, scipy and the rest, laid on top of pip, apt and perl, would make half as much again.
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS packages
RUN apt-get update -qq && apt-get install -qq --yes --no-install-recommends binutils tini >/dev/null
COPY images/packages.sh requirements/server.txt requirements/tracing.txt requirements/s3.txt /tmp/
COPY client /tmp/client
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    --mount=type=secret,id=authorities,target=/etc/ssl/certs/ca-certificates.crt \
    PIP_CERT=/etc/ssl/certs/ca-certificates.crt /tmp/packages.sh /tmp/client /tmp/server.txt /tmp/tracing.txt /tmp/s3.txt

# The JavaScript libraries of the pages. Node.js comes from a wheel and stays here.
FROM ${BASE} AS pages
COPY package.json package-lock.json .npmrc /tmp/pages/
COPY requirements/front.txt requirements/front_end.py requirements/install.py /tmp/pages/requirements/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    --mount=type=secret,id=npm,target=/root/.npmrc \
    --mount=type=secret,id=authorities,target=/etc/ssl/certs/ca-certificates.crt \
    export PIP_CERT=/etc/ssl/certs/ca-certificates.crt PYTHONPATH=/tmp/node \
    && python3 -m pip --disable-pip-version-check install --quiet --no-cache-dir --no-deps --target /tmp/node --requirement /tmp/pages/requirements/front.txt \
    && python3 /tmp/pages/requirements/front_end.py /tmp/pages/vendor

FROM ${BASE} AS system
COPY images/system.sh /tmp/
RUN groupadd --gid 1000 tailrace && useradd --uid 1000 --gid 1000 --no-create-home --home-dir /var/lib/tailrace --shell /usr/sbin/nologin tailrace \
    && install --directory --owner 1000 --group 1000 --mode 750 /var/lib/tailrace \
    && /tmp/system.sh && rm /tmp/system.sh
COPY --from=packages /usr/bin/tini /usr/bin/

# Nothing can be compiled once it runs, so it is now: what the server loads, by loading it.
FROM system AS application
COPY --from=packages /opt/venv /opt/venv
COPY manage.py LICENSE /opt/tailrace/
COPY server /opt/tailrace/server
COPY --from=pages /tmp/pages/vendor /opt/tailrace/server/dashboard/static/vendor
RUN cd /opt/tailrace && chmod 755 manage.py && export TAILRACE_VAR_DIR=/tmp/var && /opt/venv/bin/python -m compileall -q server \
    && /opt/venv/bin/python manage.py migrate --verbosity 0 \
    && /opt/venv/bin/python -c "import server.wsgi, server.urls, server.runtime.gunicorn_worker, gunicorn.app.wsgiapp, granian.cli; from server.contents import bucket; import boto3; boto3.resource('s3', region_name='us-east-1')"

FROM scratch
COPY --from=system / /
COPY --from=application /opt/venv /opt/venv
COPY --from=application /opt/tailrace /opt/tailrace
ENV PATH=/opt/venv/bin:/opt/tailrace:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    LANG=C.UTF-8 \
    PYTHONPATH=/opt/tailrace \
    PYTHONUNBUFFERED=1 \
    TAILRACE_BIND=0.0.0.0:8080 \
    TAILRACE_VAR_DIR=/var/lib/tailrace
WORKDIR /opt/tailrace
USER 1000:1000
VOLUME /var/lib/tailrace
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["python", "-m", "server.runtime.healthcheck"]
# It reaps what its children leave behind, and hands on the signal to stop.
ENTRYPOINT ["/usr/bin/tini", "--"]
CMD ["python", "-m", "server"]
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Tailrace" \
      org.opencontainers.image.description="An online-learning server for HPC: models that learn from every job as it ends" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/python:3.11-slim-bookworm"
