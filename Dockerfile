# One image for worker, maintenance worker, beat, Flower and gateway: the command says which.
# Everything installed is named with its hash in requirements/*.lock; nothing is compiled here.
# `sandbox`, the servers for a try, stays out: .dockerignore does not let it in.
ARG PYTHON_IMAGE=python:3.11.15-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements/build.lock requirements/worker.lock requirements/
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --no-deps --require-hashes --only-binary :all: -r requirements/build.lock \
    && python -m venv --without-pip /opt/griot \
    && /opt/build/bin/pip --python /opt/griot install \
        --no-deps --require-hashes --only-binary :all: -r requirements/worker.lock
COPY . .
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
    && /opt/build/bin/pip --python /opt/griot install --no-deps --no-index /dist/*.whl

FROM ${PYTHON_IMAGE}
RUN groupadd --gid 10001 griot \
    && useradd --uid 10001 --gid griot --no-create-home --home-dir /nonexistent --shell /bin/false griot \
    && install --directory --mode 0555 /srv/griot \
    && install --directory --mode 0700 --owner griot --group griot /var/lib/griot
COPY --from=build /opt/griot /opt/griot
# Nothing is written but the file of the health check, so the file system may be read-only. An
# archive is in a volume, which takes its owner from /var/lib/griot.
ENV PATH=/opt/griot/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    LOG_FILE="" \
    WORKER_ALIVE_FILE=/tmp/griot.alive
WORKDIR /srv/griot
USER 10001:10001
# Asks a worker to finish its turns; give it WORKER_DRAIN_SECONDS and some more.
STOPSIGNAL SIGTERM
CMD ["griot", "worker"]
