# SPDX-License-Identifier: Apache-2.0
# Tillway's image: the program and the libraries it needs, run by an account without rights.
# `make image` builds it with docker, or without any daemon, and proves that it answers
# (deploy/README.md).
#
#   docker run -p 8080:8080 -e TILLWAY_DB_URL_FILE=... -v .../tillway.yaml:/etc/tillway/tillway.yaml \
#       tillway -c /etc/tillway/tillway.yaml
#   docker run ... tillway migrate          (everything by TILLWAY_* variables)

FROM debian:bookworm-slim AS builder
WORKDIR /src
# First only what names the packages: they are installed again when that changes, not at every edit.
COPY dev/install.sh dev/packages dev/
RUN dev/install.sh build
COPY . .
# Fetches h2o's source package through the image's own apt sources (deps/h2o/build.sh).
RUN make build

FROM debian:bookworm-slim
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="tillway" \
      org.opencontainers.image.description="API gateway for point-of-sale systems" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"

RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        ca-certificates libhiredis0.14 libevent-2.1-7 libevent-openssl-2.1-7 libjansson4 libjwt0 libpq5 libseccomp2 libssl3 libxxhash0 \
        libyaml-0-2 \
    && apt-get clean \
    && rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log /var/cache/ldconfig/aux-cache \
    && groupadd --gid 65532 tillway \
    && useradd --uid 65532 --gid 65532 --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin tillway \
    && mkdir /etc/tillway

COPY --from=builder /src/build/tillway /usr/bin/tillway
COPY LICENSE /usr/share/doc/tillway/LICENSE
# Every symbol is bound at start (-z now), so this fails when a library is missing or too old.
RUN tillway version

# The program's own default is loopback, where no probe of Kubernetes and no Prometheus reaches the
# admin port. Do not publish it to clients. It wins over admin.address in a mounted file.
ENV TILLWAY_ADMIN_ADDRESS=0.0.0.0

# By number, so that runAsNonRoot can judge it.
USER 65532:65532
EXPOSE 8080 8443 9464
STOPSIGNAL SIGTERM
ENTRYPOINT ["tillway"]
CMD []
