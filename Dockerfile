# bids_flex in a container: the locked environment, the compiled kernels, no compiler in the result.
ARG BASE_IMAGE=debian:trixie-slim

FROM ${BASE_IMAGE} AS build
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt UV_LINK_MODE=copy UV_NO_CACHE=1
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates g++ python3-dev python3-venv \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY requirements.lock ./
# versions and hashes come from the lock, whichever part of it a step asks for
RUN python3 -m venv /opt/tools \
 && awk '/^[^ ]/ { uv = /^uv==/ } uv' requirements.lock > uv.lock \
 && /opt/tools/bin/pip install --no-cache-dir --require-hashes -r uv.lock \
 && VIRTUAL_ENV=/opt/tools /opt/tools/bin/uv pip install -c requirements.lock cmake nanobind ninja scikit-build-core
COPY pyproject.toml CMakeLists.txt README.md LICENSE ./
COPY bids_flex bids_flex
RUN VIRTUAL_ENV=/opt/tools PATH=/opt/tools/bin:$PATH /opt/tools/bin/uv build --wheel --no-build-isolation -o /tmp/wheel \
 && /opt/tools/bin/uv venv --python /usr/bin/python3 /opt/bids_flex \
 && VIRTUAL_ENV=/opt/bids_flex /opt/tools/bin/uv pip install -c requirements.lock /tmp/wheel/*.whl \
 && /opt/bids_flex/bin/python -m compileall -q /opt/bids_flex

FROM ${BASE_IMAGE}
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/bids_flex /opt/bids_flex
ENV PATH=/opt/bids_flex/bin:$PATH PYTHONNOUSERSITE=1 PYTHONDONTWRITEBYTECODE=1 \
    TEMPLATEFLOW_HOME=/opt/templateflow MPLCONFIGDIR=/tmp/matplotlib NO_ET=1
RUN useradd --no-create-home --home-dir /tmp bids_flex && mkdir /opt/templateflow
USER bids_flex
ENTRYPOINT ["bids_flex"]
