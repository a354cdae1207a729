# bids_flex in a container: the locked environment and the compiled kernels; no compiler and no pip in the result.
#
#   docker build -t bids_flex .                             # fetches the atlases named below from TemplateFlow
#   docker build -t bids_flex --build-arg PREFETCH_ATLASES= .   # needs no network beyond the package registries
ARG BASE_IMAGE=debian:trixie-slim

FROM ${BASE_IMAGE} AS runtime
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 \
 && rm -rf /var/lib/apt/lists/* /var/log/* /var/cache/debconf/*-old \
 && useradd --uid 1000 --no-create-home --home-dir /nonexistent bids_flex

FROM ${BASE_IMAGE} AS build
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates g++ python3-dev python3-venv \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY requirements-build.lock requirements-run.lock ./
RUN python3 -m venv /opt/tools \
 && /opt/tools/bin/pip install --quiet --require-hashes --no-deps -r requirements-build.lock
# what packages bring for their own tests is not needed to run them
RUN python3 -m venv --without-pip /opt/bids_flex \
 && /opt/tools/bin/pip --python /opt/bids_flex install --quiet --no-compile --require-hashes --no-deps -r requirements-run.lock \
 && find /opt/bids_flex/lib -type d -name tests -prune -exec rm -rf {} +
COPY pyproject.toml CMakeLists.txt README.md LICENSE ./
COPY bids_flex bids_flex
# every x86-64 processor since 2009 runs version 2 of the instruction set; other families have one of their own
RUN if [ "$(uname -m)" = x86_64 ]; then export CXXFLAGS=-march=x86-64-v2; fi \
 && PATH=/opt/tools/bin:$PATH /opt/tools/bin/python -m build --wheel --no-isolation --outdir /tmp/wheel \
 && /opt/tools/bin/pip --python /opt/bids_flex install --quiet --no-compile --no-deps --no-index /tmp/wheel/*.whl
# compiled once, whatever the times of the files say; the list of fonts as well
ENV MPLCONFIGDIR=/opt/cache/matplotlib TEMPLATEFLOW_HOME=/opt/templateflow
RUN mkdir -p /opt/cache/matplotlib /opt/templateflow \
 && /opt/bids_flex/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/bids_flex/lib \
 && /opt/bids_flex/bin/python -c 'import matplotlib.font_manager'
# certificates are those of BASE_IMAGE, as for the packages: some institutes' networks have one of their own
ARG PREFETCH_ATLASES="Schaefer2018_seg-7n_scale-100 Schaefer2018_seg-7n_scale-200 Schaefer2018_seg-7n_scale-400 Schaefer2018_seg-17n_scale-200 Schaefer2018_seg-17n_scale-400"
RUN export REQUESTS_CA_BUNDLE=$SSL_CERT_FILE \
 && for atlas in $PREFETCH_ATLASES; do /opt/bids_flex/bin/bids_flex-atlas fetch "$atlas" || exit 1; done \
 && find /opt/templateflow -type f -size 0 -delete \
 && find /opt/templateflow -mindepth 1 -type d -empty -delete
# the bill of materials: Python's packages, and Debian's in the stage that is shipped
COPY --from=runtime /var/lib/dpkg/status /tmp/dpkg-status
COPY docker/bill_of_materials.py /tmp/bill_of_materials.py
RUN /opt/tools/bin/cyclonedx-py environment --output-reproducible --of JSON -o /tmp/python.json /opt/bids_flex/bin/python \
 && python3 /tmp/bill_of_materials.py /tmp/python.json /tmp/dpkg-status > /opt/bids_flex/sbom.cdx.json

# a folder that is mounted at /scratch takes intermediate files; without one they go to /tmp
FROM runtime
COPY --from=build /opt/bids_flex /opt/bids_flex
COPY --from=build /opt/cache /opt/cache
COPY --from=build /opt/templateflow /opt/templateflow
ENV PATH=/opt/bids_flex/bin:$PATH PYTHONNOUSERSITE=1 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 LC_ALL=C.UTF-8 \
    TEMPLATEFLOW_HOME=/opt/templateflow MPLCONFIGDIR=/opt/cache/matplotlib NO_ET=1 TMPDIR=/scratch \
    BIDS_FLEX_CONTAINER=1
ARG VERSION=0
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="bids_flex" \
      org.opencontainers.image.description="BIDS App: dynamic reconfiguration of brain networks, compared between people" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
USER bids_flex
WORKDIR /
HEALTHCHECK NONE
ENTRYPOINT ["bids_flex"]
