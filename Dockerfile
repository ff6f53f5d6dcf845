# Doorward and the libraries it is linked with, and nothing else: no shell, no packages, no root.
#
#   docker build -t doorward --build-arg REVISION="$(git rev-parse HEAD)" .
#   docker run --read-only -v "$PWD/doorward.yaml:/etc/doorward/doorward.yaml:ro" -v doorward:/var/lib/doorward doorward
#
# docs/containers.md says what the image expects.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
# Told by `doorward_build_info`.
ARG REVISION=""
ENV BUILT_FROM_REVISION=$REVISION
# The caches stay on the machine that builds; what is kept of it is in /image.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --release --bin doorward && \
    deploy/image/root.sh target/release/doorward /image

FROM scratch
COPY --from=build /image /
# What it writes, and the only place: mount a volume here.
COPY --from=build --chown=65532:65532 /image/var/lib/doorward /var/lib/doorward
VOLUME /var/lib/doorward
ENV PATH=/usr/local/bin \
    DOORWARD_CONFIG=/etc/doorward/doorward.yaml
# Of nobody on any machine; as a number, so that Kubernetes can see it is not root's.
USER 65532:65532
# For Envoy, for logins and tokens, for probes and Prometheus. The admin API is on this machine alone.
EXPOSE 50051 8002 8100
# In the words of Docker; Kubernetes asks over gRPC.
HEALTHCHECK --interval=5s --timeout=4s --start-period=60s --retries=2 CMD ["/usr/local/bin/doorward", "health"]
ENTRYPOINT ["/usr/local/bin/doorward"]
CMD ["serve"]
