# syntax=docker/dockerfile:1

# Builds the wheel; nothing of this stage but the wheel reaches the next one.
FROM rust:1.88-bookworm AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY requirements/build.txt requirements/build.txt
RUN python3 -m venv /build && /build/bin/pip install --no-cache-dir -r requirements/build.txt
COPY README.md Cargo.toml Cargo.lock pyproject.toml rustfmt.toml clippy.toml ./
COPY rust rust
COPY policies policies
COPY pdp pdp
# The sample estate travels inside the wheel.
RUN cp -r policies pdp/_policies
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    /build/bin/maturin build --release --locked --out /wheels

FROM python:3.11-slim-bookworm
COPY requirements/run.txt /tmp/run.txt
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir -r /tmp/run.txt \
    && pip install --no-cache-dir --no-deps /wheels/pdp-*.whl \
    && rm /tmp/run.txt \
    && useradd --system --uid 65532 --no-create-home --shell /usr/sbin/nologin pdp

# Nothing is written at run time, so that the file system may be read-only.
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PDP_POLICIES=/etc/pdp/policies \
    PDP_LOG__FORMAT=json
COPY policies /etc/pdp/policies
USER 65532:65532
EXPOSE 7070 7072
# Asks the decision point itself, so that it is healthy only if it decides.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["pdp", "health", "--server", "127.0.0.1:7070"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["pdp"]
# Plaintext inside a container's own network; give TLS files and drop the flag anywhere else.
CMD ["serve", "--quiet", "--listen", "0.0.0.0:7070", "--http-listen", "0.0.0.0:7072", "--allow-plaintext"]
