# The relay as one static binary on an empty root. Two images come out of this file:
#   docker build -t pawl .                           the relay
#   docker build -t pawl-target --target target .    the faulty target of docker-compose.yaml
FROM golang:1.26.8-trixie AS build
WORKDIR /src
# Modules first: they change less often than the code.
COPY go.mod go.sum ./
COPY third_party third_party
RUN go mod download
COPY . .
ARG VERSION=dev
ARG REVISION=unknown
RUN CGO_ENABLED=0 go build -trimpath -tags netgo,osusergo \
      -ldflags "-s -w -X github.com/prometheus/common/version.Version=${VERSION} -X github.com/prometheus/common/version.Revision=${REVISION}" \
      -o /out/bin/relay ./cmd/relay
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o /out/bin/target ./deploy/target
# Owned by the user below, so that a fresh volume mounted there is writable too.
# /tmp is for `relay demo`, `relay verify` and `relay dump`.
RUN mkdir -p /out/data/var/lib/pawl /out/data/tmp

FROM scratch AS target
COPY --from=build /out/bin/target /bin/target
USER 65532:65532
EXPOSE 8000
ENTRYPOINT ["/bin/target"]

FROM scratch AS relay
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/bin/relay /bin/relay
COPY --from=build --chown=65532:65532 /out/data/ /
USER 65532:65532
# 9201 takes remote write; 9202 is the admin API, on loopback unless told otherwise.
EXPOSE 9201 9202
# Works with a read-only root: only this directory is written to.
VOLUME /var/lib/pawl
# No HEALTHCHECK: there is no shell in here, and whoever orchestrates asks
# /-/healthy and /-/ready on 9201 from outside.
ENTRYPOINT ["/bin/relay"]
CMD ["--config.file=/etc/pawl/relay.yml", "--storage.path=/var/lib/pawl"]
