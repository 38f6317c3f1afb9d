# docker build --build-arg VERSION=$(git describe --tags --always) --build-arg REVISION=$(git rev-parse HEAD) \
#   --build-arg CREATED=$(TZ=UTC git log -1 --format=%cd --date=iso-strict-local) -t invoicer .
#
# `make image` makes the same image without an engine, and adds the licences of others and an SBOM.
FROM golang:1.26 AS build
WORKDIR /src
# The modules first: they change less often than the code.
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=
ARG REVISION=
ARG CREATED=
# timetzdata puts the time zones for numbering.timezone into the binary.
RUN CGO_ENABLED=0 go build -buildvcs=false -trimpath -mod=readonly -tags timetzdata \
    -ldflags "-s -w -X main.version=${VERSION} -X main.revision=${REVISION} -X main.revisionTime=${CREATED}" \
    -o /invoicer ./cmd/invoicer

# No shell, no package manager, no libc: one file, and whom to trust for rediss:// and TLS to Postgres.
FROM scratch
ARG VERSION=
ARG REVISION=
ARG CREATED=
LABEL org.opencontainers.image.title="invoicer" \
      org.opencontainers.image.description="One invoice per transaction, numbered without a gap, however often it is asked for" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY LICENSE /usr/share/doc/invoicer/
COPY --from=build /invoicer /invoicer
USER 65532:65532
# Loopback would be the container's own, which no probe reaches. Nothing but health is served there without a token and TLS.
ENV INVOICER_HTTP_ADDR=:8080
EXPOSE 8080
# Whether it lives, not whether it is ready: some orchestrators replace what isn't healthy, and an outage of Redis would have them
# replace all workers.
HEALTHCHECK --interval=10s --timeout=6s --start-period=40s --retries=3 CMD ["/invoicer", "health"]
ENTRYPOINT ["/invoicer"]
CMD ["worker"]
