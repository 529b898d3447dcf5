# The first stage installs, the last holds what runs, and nothing else.
# Works on amd64 and arm64; every requirement has wheels for both.

# The tag is for people, the digest (of all architectures) is what is pulled. Dependabot renews
# both, wherever they stand; it can't read an ARG.
FROM python:3.13.15-slim-trixie@sha256:9d2e5553305c7c7b0097999bb17187c69b921ccd6bc9d40e4bb5ebe652c00285 AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore

# Without pip: the environment is copied as it is, and needs none any more.
RUN python -m venv --without-pip /opt/venv
WORKDIR /build

# From what changes least to what changes most, so that an edit rebuilds one layer.
COPY requirements/build.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --require-hashes --only-binary :all: --requirement requirements/build.txt

# Only pyvips is built, from its hashed source and with the tools above: it has no wheel.
COPY requirements/runtime.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    pip wheel --require-hashes --only-binary :all: --no-binary pyvips --no-build-isolation \
        --wheel-dir wheels --requirement requirements/runtime.txt \
    && pip --python /opt/venv/bin/python install --no-compile --no-deps --no-index wheels/*.whl

COPY pyproject.toml README.md LICENSE ./
COPY src src
# Compiled here, because at run time nothing may be written; and unchecked, because in an
# image no source is ever newer than its bytecode.
RUN pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && pip --python /opt/venv/bin/python install --no-cache-dir --no-compile --no-deps --no-index dist/*.whl \
    && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib


# For docker-compose.yml alone: the emulator of `image-service dev`, in place of S3 and DynamoDB.
FROM build AS emulator
COPY requirements/local.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/venv/bin/python install --require-hashes --only-binary :all: --no-binary pyvips \
        --requirement requirements/local.txt \
    && useradd --uid 10001 --user-group --shell /usr/sbin/nologin --create-home \
        --home-dir /var/lib/emulator emulator
ENV PATH=/opt/venv/bin:${PATH} PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /var/lib/emulator
EXPOSE 4566
ENTRYPOINT ["python", "-m", "image_service.devstack.emulator", "--host", "0.0.0.0", "--port", "4566"]
CMD ["--state", "/var/lib/emulator/state"]


FROM python:3.13.15-slim-trixie@sha256:9d2e5553305c7c7b0097999bb17187c69b921ccd6bc9d40e4bb5ebe652c00285

# jemalloc: glibc's malloc keeps what libvips frees, thread by thread.
# pip is of no use to a server, and of much to an intruder. The base image has no bytecode.
# hadolint ignore=DL3008 # the distribution's only version; a pin would break with each fix
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libjemalloc2 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/* \
    && rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/ensurepip \
        /usr/local/lib/python3*/site-packages/pip* \
    && python -m compileall -q -j 0 --invalidation-mode unchecked-hash \
        -x 'idlelib|lib2to3|pydoc_data|test|tkinter|turtledemo' /usr/local/lib/python3* \
    && useradd --uid 10001 --user-group --shell /usr/sbin/nologin \
        --create-home --skel /nonexistent --home-dir /var/lib/image-service image-service

COPY --chmod=0555 docker/healthcheck.py /usr/local/bin/healthcheck
COPY --from=build /opt/venv /opt/venv

# A bare file name: the loader finds it in its own architecture's folder.
ENV LD_PRELOAD=libjemalloc.so.2 \
    MALLOC_CONF=background_thread:true,dirty_decay_ms:5000,muzzy_decay_ms:5000 \
    PATH=/opt/venv/bin:${PATH} \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    IMAGE_SERVICE_HOST=0.0.0.0 \
    IMAGE_SERVICE_PORT=8000

ARG VERSION=dev
ARG REVISION=unknown
ARG SOURCE=""
LABEL org.opencontainers.image.title="Image Service" \
      org.opencontainers.image.description="Validates, resizes and converts pictures; keeps them in S3 and DynamoDB" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# A number, so that an orchestrator can tell that it is not root.
USER 10001:10001
WORKDIR /var/lib/image-service
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 CMD ["healthcheck"]

# The exec form: SIGTERM must reach the server, not a shell.
ENTRYPOINT ["image-service"]
CMD ["serve"]
