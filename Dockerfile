# One image for nodes, gateways and the `statestore` command: Node, the production packages and the sources,
# which Node runs as they are. No shell, no package manager, no root; nothing in it is written to but /data
# and what is mounted there.
#
#   docker build --tag statestore .
#   docker run --read-only --cap-drop ALL --publish 8080:8080 --volume statestore:/data statestore dev --host 0.0.0.0
#
# NODE_IMAGE brings node and npm; BASE_IMAGE needs no more than the C and C++ libraries.
ARG NODE_IMAGE=node:24-bookworm-slim
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${NODE_IMAGE} AS packages
WORKDIR /statestore
COPY package.json package-lock.json ./
COPY services/checkpoint/package.json services/checkpoint/
COPY services/cli/package.json services/cli/
COPY services/cluster/package.json services/cluster/
COPY services/core/package.json services/core/
COPY services/gateway/package.json services/gateway/
COPY services/link/package.json services/link/
COPY services/node/package.json services/node/
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund \
  && find node_modules -type f \( -name '*.map' -o -name '*.ts' -o -name '*.md' -o -name '*.musl.node' \) -exec rm {} + \
  && mkdir /data
COPY services services

FROM ${BASE_IMAGE}
COPY --from=packages /usr/local/bin/node /usr/local/bin/node
COPY --from=packages /statestore /statestore
COPY --from=packages --chown=65532:65532 /data /data
# As the launcher services/cli/statestore sets them; bench/README.md has the measurements.
ENV NODE_ENV=production \
  MALLOC_ARENA_MAX=1 \
  MALLOC_MMAP_THRESHOLD_=131072 \
  MALLOC_TRIM_THRESHOLD_=131072
USER 65532:65532
# The default data folder, ./data, is /data.
WORKDIR /
VOLUME /data
# HTTP API, metrics of a node, link of a node.
EXPOSE 8080 9090 7070
STOPSIGNAL SIGTERM
# A gateway, or a node: whichever this is.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["/usr/local/bin/node", "/statestore/services/cli/src/healthy.ts", "http://127.0.0.1:8080/healthz", "http://127.0.0.1:9090/healthz"]
ENTRYPOINT ["/usr/local/bin/node", "--max-semi-space-size=16", "/statestore/services/cli/src/main.ts"]
